"""The audit trail in Redis: see `copilot.store.audit`. Entries are written by `scripts/audit.lua`."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from typing import Any

from copilot.store import rules
from copilot.store.accounts import check_jid
from copilot.store.audit import FIELDS, AuditEntry, AuditTrail, check_through, refusal
from copilot.store.keys import Keys


class RedisAudit(AuditTrail, abc.ABC):
    """Part of `RedisStore`."""

    _keys: Keys

    @abc.abstractmethod
    async def _run(self, name: str, now: float | None, *arguments: str | float | bytes) -> Any:
        """Run a script."""

    @abc.abstractmethod
    async def _ask(self, command: str, *arguments: str) -> Any:
        """Send one command."""

    @abc.abstractmethod
    async def _send(self, command: str, *arguments: str | float | bytes, wait: float = 0.0) -> Any:
        """Send one command."""

    async def audit(
        self, *, after: str = "0", count: int = 100, block: float = 0.0
    ) -> tuple[AuditEntry, ...]:
        """Entries above an id: see `AuditTrail.audit`."""
        arguments: list[str | int] = ["COUNT", rules.check_count("count", count)]
        if rules.check_seconds("block", block) > 0:
            arguments += ["BLOCK", math.ceil(block * 1000)]
        arguments += ["STREAMS", self._keys.audit, rules.check_event_id(after)]
        streams = await self._send("XREAD", *arguments, wait=block)
        return tuple(_entry(ident, said) for _, entries in streams for ident, said in entries)

    async def refused(self, verb: str, targets: Sequence[str], *, reason: str = "") -> None:
        """Somebody was not allowed that: see `AuditTrail.refused`. Its id tells the time."""
        fields = [word for pair in refusal(verb, targets, reason).items() for word in pair]
        await self._ask("XADD", self._keys.audit, "*", *fields)

    async def cut_audit(self, through: str, *, reason: str = "") -> int:
        """Entries that were exported go: see `AuditTrail.cut_audit`."""
        del reason  # stands in the entry
        first, second = check_through(through)
        return int(await self._run("cut_audit", None, self._keys.audit, f"{first}-{second + 1}"))

    async def set_password(self, jid: str, line: str) -> None:
        """What a password is checked against: see `AuditTrail.set_password`."""
        await self._run("set_password", None, self._keys.passwords, check_jid(jid), line)

    async def password(self, jid: str) -> str:
        """The same, read."""
        return await self._ask("HGET", self._keys.passwords, jid) or ""


def _entry(ident: str, said: dict[str, str]) -> AuditEntry:
    words = {name: said.get(name, "") for name in FIELDS if name != "time"}
    time = said.get("time") or int(ident.partition("-")[0]) / 1000
    return AuditEntry(id=ident, time=float(time), **words)
