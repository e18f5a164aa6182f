"""Who can send to whom, and who has only himself to blame that he was not heard."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

STORE = "store"  # as the machine at the other end of a manager's line


def machine_of(jid: str) -> str:
    """Where a program runs: a manager's resource is its machine's name, ".", and a number of its own."""
    return jid.partition(".")[0]


class Lines:
    """Directed lines between machines. All carry, until somebody cuts them; two may cut the same one."""

    def __init__(self) -> None:
        self._cuts: Counter[tuple[str, str]] = Counter()

    def carry(self, sender: str, receiver: str) -> bool:
        return not self._cuts[sender, receiver]

    def cut(self, lines: Iterable[tuple[str, str]]) -> None:
        self._cuts.update(lines)

    def heal(self, lines: Iterable[tuple[str, str]]) -> None:
        self._cuts.subtract(lines)


class Witness:
    """Remembers when each agent was innocent: it could be heard, or nobody could because the service was away."""

    def __init__(self) -> None:
        self._changes: defaultdict[str, list[tuple[float, bool]]] = defaultdict(list)

    def saw(self, agent: str, now: float, *, innocent: bool) -> None:
        """So it stands from now on."""
        changes = self._changes[agent]
        if not changes or changes[-1][1] is not innocent:
            changes.append((now, innocent))

    def longest_innocence(self, agent: str, since: float, until: float) -> float:
        """The longest stretch between these times, in s, in which the agent had nothing to be blamed for."""
        changes = self._changes[agent]
        ends = [*(when for when, _ in changes[1:]), until]
        stretches = (
            min(end, until) - max(begin, since)
            for (begin, innocent), end in zip(changes, ends, strict=True)
            if innocent
        )
        return max(stretches, default=0.0)
