"""Clean-up: what nobody needs any more goes: old records with their inputs, and what attempts left behind.

Nothing that belongs to a job that waits, is held, or runs is touched, except what its past attempts left.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from copilot.errors import TransferError
from copilot.files.area import FileArea, input_name
from copilot.files.disk import remove_tree
from copilot.files.leftovers import AttemptDirectory, attempt_directories, measure
from copilot.job import JobRecord, JobSpec, State
from copilot.records import dataclass
from copilot.store.base import Store

GRACE = 24 * 3600.0  # seconds: until then somebody may still look at what an attempt left, or an upload go on
PAGE = 100  # records read at a time


class Kind(enum.StrEnum):
    """What kind of thing goes."""

    RECORD = "record"
    INPUTS = "inputs"
    OUTPUT = "output"
    ATTEMPT = "attempt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A thing that was removed, or would be: `path` and `size` in bytes for directories, `error` if it is still there."""

    kind: Kind
    job: str
    why: str
    path: Path | None = None
    size: int = 0
    error: str = ""


class Cleaner:
    """Cleans one queue, its file area, and, where `done` is given, the outputs of the jobs that it removes there."""

    def __init__(self, store: Store, area: FileArea, done: Path | None, *, dry: bool) -> None:
        """`dry`: say what would go, and change nothing."""
        self._store = store
        self._area = area
        self._done = done
        self._dry = dry

    async def clean(self, now: float, keep: float) -> AsyncGenerator[tuple[Gone, ...], None]:
        """Remove all that may go at the time `now`; yields what went in one step, often nothing. Records are kept for
        `keep` seconds from the end of their jobs.

        Raises `StoreUnavailable`; what was not removed by then stays for the next time. So does what the disk does not
        let go, see `Gone.error`.
        """
        async for gone in self._leftovers(now - GRACE):  # while the records still say whose they are
            yield () if gone is None else (gone,)
        for state in (State.DONE, State.FAILED, State.CANCELLED):
            async for all_of_it in self._old_jobs(state, now - keep):
                yield all_of_it

    async def _leftovers(self, before: float) -> AsyncIterator[Gone | None]:
        for found in await asyncio.to_thread(attempt_directories, self._area.root):
            why = needless(found, await self._store.get(found.job), before)
            told = Gone(kind=Kind.ATTEMPT, job=found.job, why=why, path=self._area.root / found.name)
            action = partial(self._area.drop_attempt, found.job, found.attempt)
            yield await self._drop(told, action, before=before) if why else None

    async def _old_jobs(self, state: State, before: float) -> AsyncIterator[tuple[Gone, ...]]:
        staying = 0  # those at the head of the list that we have seen and that are still there
        while records := await self._store.ended(state, before, skip=staying, limit=PAGE):
            for record in records:
                gone = await self._forget(record)
                staying += self._dry or not gone
                yield gone

    async def _forget(self, record: JobRecord) -> tuple[Gone, ...]:
        """Remove a job with what belongs to it, the record first: a job without inputs must not run once more."""
        job, area = record.spec.id, self._area
        if not record.published or not (self._dry or await self._store.remove(job)):
            return ()
        gone: list[Gone | None] = [Gone(kind=Kind.RECORD, job=job, why=f"the job is over ({record.state})")]
        if record.spec.input_dir is None and await self._nobody_needs_inputs_of(record.spec):
            whose = record.spec.submitted_as
            inputs = area.root / input_name(whose, "x").partition("/")[0]
            told = Gone(kind=Kind.INPUTS, job=whose, why="inputs of that job", path=inputs)
            gone.append(await self._drop(told, partial(area.drop_inputs, whose)))
        if (root := self._done) is not None:
            told = Gone(kind=Kind.OUTPUT, job=job, why="output of that job", path=root / job)
            gone.append(await self._drop(told, partial(remove_tree, root, job)))
        return tuple(one for one in gone if one is not None)

    async def _nobody_needs_inputs_of(self, spec: JobSpec) -> bool:
        """Those of an array go with its last element. (Others, in a directory of somebody else's, are not ours.)"""
        if spec.index is None:
            return True
        return not self._dry and await self._store.array(spec.submitted_as) is None

    async def _drop(
        self, gone: Gone, action: Callable[[], None], *, before: float | None = None
    ) -> Gone | None:
        """Remove a directory. None if it is not there, or if it has changed since `before`."""
        assert gone.path is not None
        try:
            tree = await asyncio.to_thread(measure, gone.path.parent, gone.path.name)
            if tree is None or (before is not None and tree.changed > before):
                return None
            gone = replace(gone, size=tree.size)
            if not self._dry:
                await asyncio.to_thread(action)
        except TransferError as error:
            return replace(gone, error=str(error))
        return gone


def needless(found: AttemptDirectory, record: JobRecord | None, before: float) -> str:
    """Why nobody needs the directory of an attempt that has not changed since `before`, or "" if somebody may.

    `record` is read after the directory was found. No answer but "" is ever wrong later: attempts only grow.
    """
    if record is None:
        # A directory that bears no attempt in its name may be anybody's.
        return "" if found.name == found.job else "its job is not known"
    if found.attempt < record.attempt:
        return f"attempt {record.attempt} of its job came after it"
    over = record.published and record.finished is not None and record.finished <= before
    return "its job is over" if over and found.attempt == record.attempt else ""
