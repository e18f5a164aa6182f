"""Where agents can be told something just now, for every instance of a manager. Part of the port to the queue."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Protocol, Self

from copilot.records import dataclass

REACH_KEPT = 25 * 3600.0  # s after it was said last; no session of secure mode is taken for longer
MOST_WORDS = 100  # of features that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """An agent under the full JID under which it has spoken last: the features that it has announced, and in secure mode the session
    in which it spoke (`Received.session`), by which any instance can speak to it."""

    jid: str
    features: tuple[str, ...] = ()
    session: str = field(default="", repr=False)

    def to_json(self) -> str:
        """One line."""
        said = {"jid": self.jid, "features": " ".join(self.features[:MOST_WORDS]), "session": self.session}
        return json.dumps(said, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`; what a newer version adds is ignored."""
        data: dict[str, Any] = json.loads(text)
        return cls(jid=data["jid"], features=tuple(data["features"].split()), session=data.get("session", ""))


class Reachable(Protocol):
    """Part of `Store`; errors are those of its methods."""

    async def heard(self, agent: str, reach: Reach, *, now: float | None = None) -> None:
        """`agent` (bare JID) has spoken; kept for `REACH_KEPT` seconds. Raises `ValueError` for a session that is no word."""
        ...

    async def reach(self, agents: Sequence[str], *, now: float | None = None) -> Mapping[str, Reach]:
        """Where these agents (bare JIDs, at most 1000) have spoken last, those of whom it is known."""
        ...
