"""The lists in Redis on which operators' tools of 2011 put jobs, and the way from there to the queue.

    <list> ──take──▶ <list>:taking ──adopt──▶ the queue
                           └────────reject──▶ <list>:rejected

Each arrow is one atomic step, so an id is always in one of these places, whoever dies. What tools write is not ours:
ids and descriptions are bytes here, and an id gets into a key only after it has been checked.
"""

from __future__ import annotations

import enum

from copilot.job import JobSpec, check_job_id
from copilot.store import rules
from copilot.store.keys import old_description, old_rejected, old_taking
from copilot.store.redis import RedisStore, job_values

MOST_TAKEN = 1000  # ids that `taken` returns: each manager holds one at a time, unless it died
# s; 0 would mean for ever, and Redis 6.2 cuts off what is less than a millisecond, which 0.001 is once multiplied
SHORTEST_WAIT = 0.01


class Adoption(enum.StrEnum):
    """What became of an id; only after the first two it is no longer being taken."""

    ADOPTED = "adopted"
    KNOWN = "known"  # the same job is on the queue, or was
    MISSING = "missing"  # there is neither a description nor a job
    CHANGED = "changed"  # somebody has written another description meanwhile
    TAKEN = "taken"  # the id is that of another job


class OldList:
    """One of the lists. Methods raise what those of `Store` do, and `StoreError` if the key is no list."""

    def __init__(self, store: RedisStore, name: str) -> None:
        self.name = name
        self._store = store

    async def take(self, wait: float) -> bytes | None:
        """The first id of the list, which is being taken now; None if none came within `wait` seconds.

        An id whose taker was cancelled or cut off is found by `taken`.
        """
        ident: bytes | None = await self._store.raw(
            "BLMOVE", self.name, old_taking(self.name), "LEFT", "RIGHT", max(wait, SHORTEST_WAIT), wait=wait
        )
        return ident

    async def taken(self) -> list[bytes]:
        """What is being taken, by this manager or another, or was by one that died; oldest first."""
        idents: list[bytes] = await self._store.raw("LRANGE", old_taking(self.name), 0, MOST_TAKEN - 1)
        return idents

    async def description(self, job: str) -> bytes | None:
        """The description of a job, None if there is none. Raises `BadName`."""
        text: bytes | None = await self._store.raw("GET", old_description(check_job_id(job, submitted=True)))
        return text

    async def adopt(self, job: str, description: bytes, spec: JobSpec) -> Adoption:
        """Put `spec`, which is what `description` says, on the queue, and be done with the id.

        Raises also `BadName`, `ValueError` and `QueueFull` or `IntakePaused`, as `Store.submit` does; then the id is still being taken.
        """
        [(checked, text)] = rules.check_batch([spec]).values()
        return await self._adopt(job, description, *job_values(checked, text)[1:])

    async def forget(self, job: str) -> Adoption:
        """Be done with an id that has no description because the job is known already, if it is so."""
        return await self._adopt(check_job_id(job, submitted=True), b"")

    async def _adopt(self, job: str, description: bytes, *values: str | float) -> Adoption:
        keys = old_taking(self.name), old_description(job)
        share = "" if self._store.high_water is None else self._store.high_water
        answer = await self._store.script("adopt", *keys, description, share, job, *values)
        if answer == "full":
            raise self._store.full()
        if answer == "paused":
            raise await self._store.closed()
        return Adoption(answer)

    async def reject(self, ident: bytes) -> bool:
        """Put an id aside; False if it was no longer being taken."""
        return bool(await self._store.script("reject", old_taking(self.name), old_rejected(self.name), ident))
