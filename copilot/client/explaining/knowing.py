"""What is read to explain a job: a bounded number of things, however long the queue and however large the fleet are."""

from __future__ import annotations

import asyncio
import difflib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field, replace

from copilot.errors import BadName, CopilotError
from copilot.files.area import FileArea
from copilot.job import Attempt, Cause, EventKind, JobRecord, JobSpec, State, split_element
from copilot.records import dataclass
from copilot.store.arrays import ArrayRecord
from copilot.store.base import Store
from copilot.store.blocking import Until
from copilot.store.controls import Gate, Pause, SetAside
from copilot.store.explaining import Circumstances, Machine, Machines
from copilot.store.rules import owner_of, words_of
from copilot.store.shares import OWNER, PROJECT, Share

MOST_HOLDERS = 1000  # running attempts that are looked at for who has them
LOOKED_BACK = 0.05  # s before an event was due in the stream
MOST_ENTRIES = 200  # of the event stream that are read for it
SIMILAR = 3  # names of jobs that are told for one that is not known
MOST_NAMES = 200  # of each state that are compared with it


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """A job that another one waits for: how it stands (None: nobody knows it any more), and the cause of its end. `any_end`: it is
    enough that it is over."""

    job: str
    state: State | None
    cause: str = ""
    any_end: bool = False

    @property
    def met(self) -> bool:
        """Whether it keeps nobody any more."""
        if self.state is None:
            return False
        return self.state.final if self.any_end else self.state is State.DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """An input that is not as it was submitted, and in what way."""

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that an explanation is made of. What was not read, for it says nothing here, is empty or None."""

    job: str
    now: float = 0.0
    record: JobRecord | None = None
    array: ArrayRecord | None = None
    attempts: tuple[Attempt, ...] = ()
    standing: Circumstances | None = None
    machines: Machines | None = None
    holds: Mapping[str, int] = field(default_factory=dict)
    used: Mapping[str, int] = field(default_factory=dict)
    needed: tuple[Needed, ...] = ()
    missing: tuple[Missing, ...] = ()
    pause: Pause | None = None
    shares: tuple[Share, ...] = ()
    asides: Mapping[str, SetAside] = field(default_factory=dict)
    said: str = ""
    similar: tuple[str, ...] = ()
    beyond: ArrayRecord | None = None  # the array that is too small to have this element

    @property
    def found(self) -> tuple[JobRecord, Circumstances]:
        """Record and standing of a job that is known; only for such a one."""
        assert self.record is not None
        assert self.standing is not None
        return self.record, self.standing

    def there(self) -> Sequence[Machine]:
        """The agents that are online, and may have jobs."""
        if self.machines is None:
            return ()
        return [one for one in self.machines.rows if self._online(one) and not one.out]

    def kept(self, one: Machine) -> float | None:
        """Until when an agent is in quarantine (infinite: until somebody lets it out); None if it is not."""
        aside = self.asides.get(one.agent)
        until = 0.0 if aside is None else (math.inf if aside.ends is None else aside.ends)
        until = max(until, one.quarantine)
        return until if until > self.now else None

    def _online(self, one: Machine) -> bool:
        return one.online(self.now) or (one.agent in self.holds and one.renewed is None and not one.leased)


async def know(store: Store, job: str, area: FileArea | None = None) -> Known:
    """Read what there is to know of a job; `area` is where its inputs lie, if that is a directory here.

    Raises `StoreUnavailable`."""
    standing, record, attempts, array = await asyncio.gather(  # at one moment, so they go together
        store.circumstances(job), store.get(job), store.attempts(job), store.array(job)
    )
    if array is not None:
        return Known(job=job, record=record, array=array)
    if standing is None or record is None:
        name = split_element(job)
        beyond = None if name is None else await store.array(name[0])
        return Known(job=job, beyond=beyond, similar=() if beyond else await _similar(store, job))
    known = Known(job=job, now=standing.now, record=record, attempts=attempts, standing=standing)
    spec, state = record.spec, standing.state
    if not state.final and area is not None and _lies_there(spec):
        known = replace(known, missing=await asyncio.to_thread(_missing, spec, area))
    if state in (State.WAITING, State.RUNNING):
        whose = f"{OWNER}{owner_of(spec)}", f"{PROJECT}{words_of(spec.project)}"
        machines, holders, pauses, asides, shares = await asyncio.gather(
            store.machines(),
            store.holders("", MOST_HOLDERS),
            store.paused(),
            store.asides(),
            store.shares(whose),
        )
        used: Counter[str] = Counter()
        for one in holders.rows:
            used[one.agent] += one.cores
        holds = Counter(one.agent for one in holders.rows)
        known = replace(
            known,
            machines=machines,
            holds=holds,
            used=used,
            shares=shares,
            pause=next((one for one in pauses if one.gate is Gate.DISPATCH), None),
            asides={one.agent: one for one in asides},
        )
    if spec.after or spec.after_any:
        known = replace(known, needed=await _needed(store, spec))
    if state is State.HELD:
        said = await _said(store, job, EventKind.HELD, standing.held)
        known = replace(known, said=said)
    if standing.cancelling is not None:
        known = replace(known, said=await _said(store, job, EventKind.CANCELLING, standing.cancelling))
    return known


async def _needed(store: Store, spec: JobSpec) -> tuple[Needed, ...]:
    names = [(job, False) for job in spec.after] + [(job, True) for job in spec.after_any]
    awaits, records = await asyncio.gather(
        store.awaits(spec.submitted_as), asyncio.gather(*(store.get(job) for job, _ in names))
    )
    waits = {(one.job, one.until is Until.OVER) for one in awaits}
    met = State.DONE  # what it waited for was so; its record may be gone since
    return tuple(
        Needed(
            job=job,
            state=(None if (job, any_end) in waits else met) if record is None else record.state,
            cause="" if record is None or record.outcome is None else record.outcome.cause.value,
            any_end=any_end,
        )
        for (job, any_end), record in zip(names, records, strict=True)
    )


async def _said(store: Store, job: str, kind: EventKind, when: float | None) -> str:
    """Why somebody wanted that: what the event stream still tells of it."""
    if when is None:
        return ""
    begin = int((when - LOOKED_BACK) * 1000)
    told = await store.told(job, after=f"{max(0, begin)}-0", count=MOST_ENTRIES)
    return next((event.text for event in reversed(told.events) if event.kind is kind), "")


async def _similar(store: Store, job: str) -> tuple[str, ...]:
    pages = await asyncio.gather(*(store.page(state, limit=MOST_NAMES) for state in State))
    names = [line.job for page in pages for line in page.rows]
    return tuple(difflib.get_close_matches(job, names, n=SIMILAR))


def _lies_there(spec: JobSpec) -> bool:
    """Whether it has inputs, and in the area of files."""
    return bool(spec.inputs) and spec.chirp_server is None and spec.input_dir is None


def _missing(spec: JobSpec, area: FileArea) -> tuple[Missing, ...]:
    """Only names and sizes are compared: nobody reads gigabytes to answer a question."""
    found = []
    for item in spec.inputs:
        try:
            size = area.input_path(spec.submitted_as, spec.staged_name(item.name)).stat().st_size
        except FileNotFoundError:
            found.append(Missing(name=item.name, why="is not in the file area"))
        except (OSError, BadName, CopilotError):
            continue  # not to be seen from here
        else:
            if size != item.size:
                why = f"has {size:,} bytes in the file area, and had {item.size:,} when it was submitted"
                found.append(Missing(name=item.name, why=why))
    return tuple(found)


def fetch_failed(attempts: Sequence[Attempt]) -> bool:
    """Whether all attempts that ended ended because inputs could not be fetched."""
    return bool(attempts) and all(one.cause is Cause.INFRA_FETCH for one in attempts)
