"""Which jobs somebody means: by owner, state, project, tag, agent, or an expression over what is known of a job.

The expression is that of requirements (`copilot.matching`), over a job: `Priority > 3 && Owner == "a"`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import field, replace
from difflib import get_close_matches
from typing import Any

from copilot.errors import BadName, BadRequirements
from copilot.job import JobRecord, State
from copilot.matching.plainads import Value
from copilot.matching.requirements import read_requirements
from copilot.records import dataclass
from copilot.store.base import Store

PAGE = 1000  # records in one look

ATTRIBUTES: Mapping[str, Callable[[JobRecord, float], Value | None]] = {
    "Id": lambda job, _: job.spec.id,
    "Owner": lambda job, _: job.spec.owner,
    "Project": lambda job, _: job.spec.project,
    "State": lambda job, _: job.state.value,
    "Priority": lambda job, _: job.spec.priority,
    "Tags": lambda job, _: job.spec.tags,
    "Command": lambda job, _: job.spec.command,
    "Arguments": lambda job, _: job.spec.arguments,
    "Image": lambda job, _: job.spec.image,
    "Network": lambda job, _: job.spec.network,
    "Cores": lambda job, _: job.spec.cores,
    "MaxCores": lambda job, _: job.spec.max_cores or job.spec.cores,
    "Gpus": lambda job, _: job.spec.gpus,
    "Memory": lambda job, _: job.spec.memory,
    "Disk": lambda job, _: job.spec.disk,
    "Time": lambda job, _: job.spec.max_run_time,
    "Agent": lambda job, _: job.agent,
    "Attempt": lambda job, _: job.attempt,
    "Attempts": lambda job, _: job.attempts_used,
    "Failures": lambda job, _: job.user_failures,
    "Age": lambda job, now: now - job.submitted,
    "Submitted": lambda job, _: job.submitted,
    "Claimed": lambda job, _: job.claimed,
    "Finished": lambda job, _: job.finished,
    "Cause": lambda job, _: None if job.outcome is None else job.outcome.cause.value,
    "ExitCode": lambda job, _: None if job.outcome is None else job.outcome.exit_code,
    "Host": lambda job, _: None if job.outcome is None else job.outcome.host,
}
_BY_NAME = {name.lower(): name for name in ATTRIBUTES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """An expression over a job, and the attributes that it names."""

    text: str
    names: tuple[str, ...]
    tree: Any = field(repr=False, compare=False)

    def holds(self, job: JobRecord, now: float) -> bool:
        """Whether it is true of the job: what says `undefined` is not."""
        from copilot.matching.classads import holds, make_scope

        said = {name.lower(): ATTRIBUTES[name](job, now) for name in self.names}
        return holds(
            self.tree, make_scope({name: value for name, value in said.items() if value is not None})
        )


def read_where(text: str) -> Where:
    """Raises `BadRequirements`, which says where the fault is, and what was expected."""
    try:
        read = read_requirements(text)
    except BadRequirements as error:
        said = str(error).replace("requirements", "expression over jobs", 1)
        said = said.replace("attribute of the host, like other.Memory", "attribute of a job, like Priority")
        raise BadRequirements(said.partition("; leave out requirements")[0]) from None
    for name in read.attributes:
        if name not in _BY_NAME:
            near = get_close_matches(name, _BY_NAME, n=1)
            meant = f"; did you mean {_BY_NAME[near[0]]}?" if near else ""
            raise BadRequirements(
                f"expression over jobs: {name!r} is nothing that jobs have{meant} There are {', '.join(ATTRIBUTES)}"
            )
    from copilot.matching.classads import parse

    names = tuple(_BY_NAME[name] for name in read.attributes)
    return Where(text=read.text, names=names, tree=parse(read.text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """All of these must be so; nothing given means nothing asked. Of `owners`, `states`, `projects` and `agents` one is enough, of
    `tags` the job has each."""

    owners: tuple[str, ...] = ()
    states: tuple[State, ...] = ()
    projects: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    where: Where | None = None

    def __bool__(self) -> bool:
        return bool(self.owners or self.states or self.narrows)

    @property
    def narrows(self) -> bool:
        """Whether it asks for more than a line of a list says."""
        return bool(self.projects or self.tags or self.agents or self.where)

    def of_states(self, states: Sequence[State]) -> Filter:
        """The same, of these states."""
        return replace(self, states=tuple(states))

    def takes(self, job: JobRecord, now: float) -> bool:
        """Whether the job is meant; of an array the states of its elements were looked at by the queue."""
        spec = job.spec
        return (
            (not self.owners or spec.owner in self.owners)
            and (not self.states or job.spec.is_array or job.state in self.states)
            and (not self.projects or spec.project in self.projects)
            and (not self.agents or job.agent in self.agents)
            and all(tag in spec.tags for tag in self.tags)
            and (self.where is None or self.where.holds(job, now))
        )

    def described(self) -> str:
        """In words, for a question."""
        said = [
            *(_one_of("state", [state.value for state in self.states])),
            *(_one_of("owner", self.owners)),
            *(_one_of("project", self.projects)),
            *(f"tag {tag}" for tag in self.tags),
            *(_one_of("agent", self.agents)),
            *([] if self.where is None else [self.where.text.replace("other.", "")]),
        ]
        return ", ".join(said) or "all"


def _one_of(name: str, words: Sequence[str]) -> list[str]:
    return [f"{name} {' or '.join(words)}"] if words else []


def read_state(text: str) -> State:
    """Raises `BadName`."""
    try:
        return State(text.lower())
    except ValueError:
        raise BadName(f"state {text[:40]!r}: expected one of {', '.join(State)}") from None


async def every(
    store: Store, wanted: Filter, looked_at: Callable[[int], None] = lambda _: None
) -> AsyncGenerator[JobRecord, None]:
    """All jobs that are meant, in no order, each once. `looked_at` hears how many more were. Raises as `Store.records`."""
    place, seen, now = "", set[str](), time.time()
    while True:
        part = await store.records(
            place,
            PAGE,
            states=wanted.states,
            owner=wanted.owners[0] if len(wanted.owners) == 1 else None,
            words=[f'"{tag}"' for tag in wanted.tags],
        )
        looked_at(part.looked_at)
        for job in part.rows:
            if job.spec.id not in seen and wanted.takes(job, now):
                seen.add(job.spec.id)
                yield job
        if not (place := part.next):
            return
