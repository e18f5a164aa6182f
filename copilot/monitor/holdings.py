"""Which agent has which job, from what the event stream tells; and now and then from a look at all that run.

The look comes in parts, while events go on: what one of them tells in the meantime goes before what the look has found, for the
stream is complete and in order. So both together are exact, and only what the stream has lost waits for the next look.
"""

from __future__ import annotations

from typing import NamedTuple

from copilot.job import Event, EventKind
from copilot.store.base import Store

PART = 250  # jobs at once: a millisecond or two of the store
LOOK_EVERY = 60.0  # s

_BEGINS = (EventKind.CLAIMED, EventKind.REVIVED)
_ENDS = (
    EventKind.DONE, EventKind.FAILED, EventKind.CANCELLED, EventKind.REQUEUED, EventKind.HANDED_BACK, EventKind.HELD,
    EventKind.RELEASED, EventKind.RETRIED,
)  # fmt: skip


class Holding(NamedTuple):
    """An attempt and the agent (bare JID) that has it."""

    agent: str
    attempt: int


class Holdings:
    """As many entries as jobs run."""

    def __init__(self) -> None:
        self.jobs: dict[str, Holding] = {}
        self._looked = float("-inf")
        self._told: set[str] | None = None  # of which jobs events have told while somebody looks

    def take(self, event: Event) -> None:
        """This has happened."""
        if event.kind in _BEGINS:
            self.jobs[event.job] = Holding(event.agent, event.attempt)
        elif event.kind in _ENDS:
            self.jobs.pop(event.job, None)
        if self._told is not None:
            self._told.add(event.job)

    def doubt(self) -> None:
        """Events may have been lost: look at once when somebody asks."""
        self._looked = float("-inf")

    async def look(self, store: Store, now: float) -> None:
        """See that all is right, if that was long ago. `now` is that of a clock that never jumps. Raises as `Store.holders`.

        Not to be called again before it has returned."""
        if now - self._looked < LOOK_EVERY:
            return
        told = self._told = set()
        found: dict[str, Holding] = {}
        place = ""
        try:
            while True:
                part = await store.holders(place, PART)
                found.update((one.job, Holding(one.agent, one.attempt)) for one in part.rows)
                if not (place := part.next):
                    break
        finally:
            self._told = None
        kept = {job: self.jobs[job] for job in told if job in self.jobs}
        self.jobs = {job: one for job, one in found.items() if job not in told} | kept
        self._looked = now
