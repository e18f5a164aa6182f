"""What a campaign is to be, what was tried in it, and what is known at its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how hard. Times in seconds."""

    seed: int
    each: float  # of one attack
    flood: float  # of the attack by stanzas that make no sense
    calm: float  # before the first and after the last
    senders: int  # accounts that flood at the same time
    lines: int  # connections that are held or opened
    archives: int  # jobs whose output is one, at most; as many stanzas without measure at least


@dataclass(slots=True, kw_only=True)
class Tried:
    """What an attack has done. `answers`: what the attacker was told; `wrong`: what should not have been possible."""

    count: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Phase:
    """One line of the table. `refused`: by reason, as the programs' metrics have it; `busy`: share of a core by program;
    times of honest jobs in seconds, `starts` from submission until an agent has it, `cycles` until its result counts."""

    name: str
    seconds: float
    tried: Tried
    refused: Counter[str]
    busy: dict[str, float]
    reached: float = 0.0  # messages a second that the server has handed to the job manager
    starts: list[float] = field(default_factory=list)
    cycles: list[float] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Result:
    """What came of a campaign. Memory in bytes, resident, by program."""

    plan: Plan
    phases: list[Phase] = field(default_factory=list)
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    log_lines: dict[str, int] = field(default_factory=dict)  # of the whole campaign
    seconds: float = 0.0
    honest: int = 0  # jobs
    wrong: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing went through and everybody else was served."""
        return not (self.wrong or any(phase.tried.wrong for phase in self.phases))
