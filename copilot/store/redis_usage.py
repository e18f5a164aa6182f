"""What attempts took, in Redis: see `copilot.store.usage`. It is written by the scripts that end attempts."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

from copilot.store.keys import Keys
from copilot.store.usage import By, Sums, UsageSums, sums_from_text


class RedisUsage(UsageSums, abc.ABC):
    """Part of `RedisStore`."""

    _keys: Keys

    @abc.abstractmethod
    async def _send(self, command: str, *arguments: str | float | bytes, wait: float = 0.0) -> Any:
        """Send a command."""

    async def usage(self, by: By, day: int) -> Mapping[str, Sums]:
        """What was taken on a day: see `UsageSums.usage`."""
        found: dict[str, str] = await self._send("HGETALL", self._keys.usage(by, day))
        return {name: sums_from_text(text) for name, text in found.items()}
