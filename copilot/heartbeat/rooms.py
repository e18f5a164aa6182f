"""Which chat room is whose: one for managers and the monitor, and shards for agents, for rooms do not carry a fleet."""

from __future__ import annotations

import hashlib
import re

from copilot.protocol.envelope import bare
from copilot.records import dataclass

_SHARD = re.compile(r"-[0-9]{1,4}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """The rooms of one system. An agent sits in the shard that its bare JID chooses."""

    name: str  # HB_CHAT_ROOM
    server: str  # HB_CHAT_SERVER
    shards: int  # HB_CHAT_SHARDS

    @property
    def main(self) -> str:
        """The room of managers and the monitor."""
        return f"{self.name}@{self.server}"

    @property
    def all(self) -> tuple[str, ...]:
        """Every room."""
        return (self.main, *map(self._shard, range(self.shards)))

    def of_agent(self, jid: str) -> str:
        """The room in which the agent with this JID sits."""
        digest = hashlib.sha256(bare(jid).encode()).digest()
        return self._shard(int.from_bytes(digest[:8]) % self.shards)

    def is_one(self, room: str) -> bool:
        """Whether a room is one of ours, however many shards others were told of."""
        name, _, server = room.lower().partition("@")
        rest = name.removeprefix(self.name)
        return (
            server == self.server
            and name.startswith(self.name)
            and (not rest or bool(_SHARD.fullmatch(rest)))
        )

    def _shard(self, number: int) -> str:
        return f"{self.name}-{number}@{self.server}"
