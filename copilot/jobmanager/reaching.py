"""Notes where agents speak, so that every instance can tell them something: which full JID, and in secure mode which session.

Each instance writes what is new to it, or was written long ago: once for each session of an agent, so it costs next to nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable

from copilot.protocol.commands import GetJob, JobDone, Leaving, RenewLease, WantGetJob
from copilot.protocol.envelope import bare
from copilot.protocol.events import Received
from copilot.protocol.rules import FEATURES
from copilot.runtime.component import Actions, Event
from copilot.store.base import Store
from copilot.store.reach import REACH_KEPT, Reach

REMEMBERED = 20_000  # agents of which this instance knows what is written
WRITE_AGAIN = REACH_KEPT / 2  # s


class Reaching:
    """A part of a job manager; says nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._written: OrderedDict[str, tuple[Reach, float]] = OrderedDict()

    def wakeup(self) -> None:
        """Never."""

    def handle(self, event: Event, now: float) -> Actions | Awaitable[Actions]:
        """As `Component.handle`. An agent of 2011 announces nothing, and cannot be told anything."""
        match event:
            case Received(command=Leaving()):
                self._written.pop(bare(event.sender), None)
            case Received(command=GetJob() | RenewLease() | JobDone() | WantGetJob(), features=frozenset()):
                return self._note(event, now)
        return []

    def _note(self, said: Received, now: float) -> Actions | Awaitable[Actions]:
        agent = bare(said.sender)
        known = tuple(sorted(frozenset(FEATURES) & (said.features or frozenset())))
        reach = Reach(jid=said.sender, features=known, session=said.session)
        written, when = self._written.get(agent, (None, 0.0))
        if written == reach and now - when < WRITE_AGAIN:
            self._written.move_to_end(agent)
            return []
        return self._write(agent, reach, now)

    async def _write(self, agent: str, reach: Reach, now: float) -> Actions:
        await self._store.heard(agent, reach)
        self._written[agent] = reach, now
        self._written.move_to_end(agent)
        while len(self._written) > REMEMBERED:
            self._written.popitem(last=False)
        return []
