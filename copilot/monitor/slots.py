"""How many slots agents have, by what they say of their hosts: asked of the store once, and again after a while.

An agent asks for more jobs than it has slots, to have some at hand; and one that has enough is not among those that wait, so
what is known of it must be kept while it works.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from copilot.store.base import Store
from copilot.store.survey import Idle

PART = 500  # agents at once
KNOWN_FOR = 600.0  # s; an agent that was started anew may have others


class Slots:
    """Of agents by their full JIDs; as many entries as there are agents."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, int, float]] = {}  # bare JID, slots, when that was asked

    async def look(self, store: Store, idle: Iterable[Idle], busy: Collection[str], now: float) -> None:
        """Ask for those of which nothing, or nothing new, is known; forget those that neither wait nor work (`busy`: bare
        JIDs). `now` is that of a clock that never jumps. Raises as `Store.declared`."""
        waiting = {one.jid: one.agent for one in idle}
        for jid in [
            jid for jid, (agent, *_) in self._known.items() if jid not in waiting and agent not in busy
        ]:
            del self._known[jid]
        unknown = [jid for jid in waiting if now - self._known.get(jid, ("", 0, -KNOWN_FOR))[2] >= KNOWN_FOR]
        for at in range(0, len(unknown), PART):
            part = unknown[at : at + PART]
            for jid, slots in zip(part, await store.declared(part), strict=True):
                self._known[jid] = (waiting[jid], slots, now)

    def by_agent(self) -> Counter[str]:
        """Slots by bare JID; an account that several agents share has the slots of all."""
        found: Counter[str] = Counter()
        for agent, slots, _ in self._known.values():
            found[agent] += slots
        return found
