"""How a component fares, in named fields of plain text, for whoever may ask (XEP-0050, `transport/questions.py`).

Numbers are whole and in the unit that the name says; names never change, new ones may come.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping

import copilot
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.rules import Role

WORDS = {
    Role.AGENT: "agent",
    Role.JOB_MANAGER: "job manager",
    Role.STORAGE_MANAGER: "storage manager",
    Role.MONITOR: "monitor",
    Role.KEY_MANAGER: "key manager",
}


def role_in_words(role: Role) -> str:
    """`job manager, storage manager`."""
    return ", ".join(word for one, word in WORDS.items() if one & role)


class ComponentStatus:
    """What all components tell, and what `more` tells of this one. `now()` is in seconds of a clock that never jumps."""

    def __init__(
        self,
        program: str,
        endpoint: Endpoint,
        features: Collection[str],
        now: Callable[[], float],
        more: Callable[[], Awaitable[Mapping[str, str]]],
    ) -> None:
        self._program = program
        self._endpoint = endpoint
        self._features = features
        self._now = now
        self._began = now()
        self._more = more

    async def __call__(self) -> Mapping[str, str]:
        """The fields."""
        endpoint, counts = self._endpoint, self._endpoint.counts
        return {
            "program": self._program,
            "version": copilot.__version__,
            "role": role_in_words(endpoint.role),
            "jid": endpoint.jid,
            "uptime-seconds": str(int(self._now() - self._began)),
            "features": " ".join(sorted(self._features)),
            "server-carriage": "element" if endpoint.body_stripped else "body, element",
            **await self._more(),
            "messages-received": str(counts.received.total()),
            "messages-sent": str(counts.sent.total()),
            "messages-sent-again": str(counts.resent),
            "messages-copies": str(counts.copies),
            "messages-dropped": str(counts.dropped.total()),
            "messages-refused": str(counts.refused.total()),
        }
