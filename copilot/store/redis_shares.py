"""What owners and projects may have, in Redis: see `copilot.store.shares`."""

from __future__ import annotations

import abc
from typing import Any

from copilot.store import rules
from copilot.store.shares import Share, Shares, check_share, share_from_text, share_to_text

SCRIPTS = frozenset({"shares"})  # it does not write


class RedisShares(Shares, abc.ABC):
    """Part of `RedisStore`."""

    @abc.abstractmethod
    async def _run(self, name: str, now: float | None, *arguments: str | float | bytes) -> Any:
        """Run a script."""

    async def set_share(self, share: Share) -> None:
        """What somebody may have: see `Shares.set_share`."""
        text = share_to_text(check_share(share))
        await self._run(
            "set_share", None, share.whose, "" if text == share_to_text(Share(whose=share.whose)) else text
        )

    async def shares(self, names: tuple[str, ...] = ()) -> tuple[Share, ...]:
        """What somebody may have, and has: see `Shares.shares`."""
        rules.check_agents(names)
        flat = await self._run("shares", None, *names)
        rows = zip(flat[::4], flat[1::4], flat[2::4], flat[3::4], strict=True)
        return tuple(
            share_from_text(name, text, running=int(running), used=int(used))
            for name, text, running, used in rows
        )
