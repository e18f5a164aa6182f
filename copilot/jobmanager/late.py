"""Agents of 2011 that asked for work when there was none.

They ask again after up to half an hour, and understand an offer that comes before that. Each instance of the manager offers
by what it has heard itself: an agent takes the first offer of several, as it does of those that answer its request.
"""

from __future__ import annotations

from collections import OrderedDict, deque

MOST = 10_000  # agents that are remembered
ASKS_AGAIN = 2400.0  # s after which an agent has asked again, or is gone
RESERVED = 15.0  # s that a job is left to the agent to which it was offered


class LateOffers:
    """Who is to be offered work when it comes. Times in seconds of a clock that never jumps."""

    def __init__(self) -> None:
        self._agents: OrderedDict[str, float] = OrderedDict()  # when it asked, by full JID
        self._offered: deque[float] = deque()  # when, of those that may be answered yet

    def __bool__(self) -> bool:
        return bool(self._agents)

    def add(self, jid: str, now: float) -> None:
        """This agent (full JID) got nothing. The one that has waited for longest goes if there are too many."""
        self.forget(jid)
        self._agents[jid] = now
        if len(self._agents) > MOST:
            self._agents.popitem(last=False)

    def forget(self, jid: str) -> None:
        """This agent asks by itself, or is gone."""
        self._agents.pop(jid, None)

    def take(self, waiting: int, now: float) -> list[str]:
        """To whom to offer work now that so many jobs wait: those that have waited for longest, each once."""
        while self._agents and next(iter(self._agents.values())) + ASKS_AGAIN <= now:
            self._agents.popitem(last=False)
        while self._offered and self._offered[0] + RESERVED <= now:
            self._offered.popleft()
        count = max(0, min(waiting - len(self._offered), len(self._agents)))
        self._offered.extend([now] * count)
        return [self._agents.popitem(last=False)[0] for _ in range(count)]
