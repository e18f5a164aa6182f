"""Access to the system for who reaches the queue itself, and the directories of files."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from copilot.actor import Via, acting
from copilot.client.here import here
from copilot.client.operating import Answer, Verb, operate
from copilot.client.result import Result, of_record
from copilot.client.secrets import Keys
from copilot.client.submission import Submission, submit_all
from copilot.client.tailing import Look, on_the_spot
from copilot.client.watch import BLOCK, PAGE, Watch
from copilot.errors import TransferCorrupt, TransferRefused, UnknownJob
from copilot.files.area import open_result
from copilot.files.newfile import NewFile
from copilot.files.staging import Staging
from copilot.job import Event, JobRecord
from copilot.store.base import Store
from copilot.store.watched import Stream


class QueueAccess:
    """Implements `copilot.client.access.Access` over a store. Belongs to one event loop."""

    def __init__(
        self,
        store: Store,
        staging: Staging,
        *,
        done: Path | None,
        chirp_server: str | None = None,
        keys: Keys | None = None,
    ) -> None:
        """`done` is where the generic finisher puts results, None: not on this machine. `chirp_server` as in `JobSpec`. `keys`: for whom
        secrets are sealed."""
        self._store = store
        self._staging = staging
        self._done = done
        self._chirp_server = chirp_server
        self._watch = Watch(store)
        self.with_secrets = (keys or Keys()).with_secrets

    async def submit(self, submissions: Sequence[Submission]) -> None:
        """See the port."""
        ours = [replace(one, chirp_server=one.chirp_server or self._chirp_server) for one in submissions]
        await submit_all(ours, self._store, self._staging)

    async def look(self, job: str) -> Result:
        """See the port."""
        return of_record(_known(job, await self._store.get(job)))

    async def ended(self, job: str, begun: Callable[[], None] = lambda: None) -> Result:
        """See the port."""
        return of_record(_known(job, await self._watch.ended(job, begun=begun)))

    async def cancel(self, job: str, reason: str) -> Answer:
        """See the port."""
        with acting(here(Via.PYTHON)):
            return await operate(self._store, Verb.CANCEL, job, reason=reason)

    async def fetch(self, job: str, path: Path) -> bool:
        """See the port. What came with the report of the agent is there at once, all else when its finisher has taken it."""
        record = _known(job, await self._store.get(job))
        output = None if record.outcome is None else record.outcome.output
        if output is None:
            return False
        packed = None if record.published else await self._store.package(job)
        if packed is not None:
            data = base64.b64decode(packed)
            if len(data) != output.size or hashlib.sha256(data).hexdigest() != output.sha256:
                raise TransferCorrupt(f"the output of job {job} is not what its agent has announced")
            await asyncio.to_thread(path.write_bytes, data)
            return True
        if self._done is None:
            raise TransferRefused(
                f"the output of job {job} is not on this machine: set JM_DONE_JOB_DIR to where it is mounted, or use an "
                "account of your own (remote)"
            )
        _known(job, await self._watch.ended(job, published=True))
        await asyncio.to_thread(_copy, self._done, job, path, output.size, output.sha256)
        return True

    def reading(self, job: str, stream: Stream) -> Look:
        """See the port."""
        return on_the_spot(self._store, job, stream)

    async def events(self, after: str) -> AsyncIterator[Event]:
        """See the port."""
        while True:
            for event in await self._store.events(after=after, block=BLOCK, count=PAGE):
                after = event.id
                yield event

    async def close(self) -> None:
        """End what watches; the store stays open. Idempotent."""
        await self._watch.close()


def _known(job: str, record: JobRecord | None) -> JobRecord:
    if record is None:
        raise UnknownJob(f"job {job} is not known: look for a typing error; records of old jobs are removed")
    return record


def _copy(done: Path, job: str, path: Path, size: int, sha256: str) -> None:
    """Blocks. Raises `TransferError`."""
    with open_result(done, job) as source, NewFile.at(path) as new:
        while new.size <= size and new.copy_block(source):
            pass
        new.check(f"the output of job {job}", size=size, sha256=sha256)
        new.commit(durable=False)
