"""The audit trail in memory: see `copilot.store.audit`."""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import field
from typing import Any

from copilot.clock import Clock
from copilot.records import dataclass
from copilot.store import rules
from copilot.store.accounts import check_jid
from copilot.store.audit import FIELDS, REFUSED, AuditEntry, AuditTrail, check_through, refusal, result_of


@dataclass(slots=True)
class AuditTables:
    """What is kept: entries, oldest first, and the number of the last one ever."""

    entries: list[AuditEntry] = field(default_factory=list)
    last: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    passwords: dict[str, str] = field(default_factory=dict)


class MemoryAudit(AuditTrail, abc.ABC):
    """Part of `MemoryStore`."""

    round_trips: int
    _audit: AuditTables
    _clock: Clock

    @abc.abstractmethod
    def _begin(self, now: float | None) -> float:
        """A call begins; the time."""

    async def audit(
        self, *, after: str = "0", count: int = 100, block: float = 0.0
    ) -> tuple[AuditEntry, ...]:
        """Entries above an id: see `AuditTrail.audit`."""
        rules.check_count("count", count)
        rules.check_seconds("block", block)
        self.round_trips += 1
        last = self._audit.last if after == "$" else int(rules.check_event_id(after).partition("-")[0])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(block):
                while self._audit.last <= last and block > 0:
                    await self._audit.news.wait()
        return tuple(one for one in self._audit.entries if _number(one) > last)[:count]

    async def refused(self, verb: str, targets: Sequence[str], *, reason: str = "") -> None:
        """Somebody was not allowed that: see `AuditTrail.refused`."""
        self._begin(None)
        self.note({**refusal(verb, targets, reason), "now": ""}, REFUSED)

    async def cut_audit(self, through: str, *, reason: str = "") -> int:
        """Entries that were exported go: see `AuditTrail.cut_audit`."""
        del reason  # stands in the entry
        last, before = check_through(through)[0], len(self._audit.entries)
        self._begin(None)
        self._audit.entries = [one for one in self._audit.entries if _number(one) > last]
        return before - len(self._audit.entries)

    async def set_password(self, jid: str, line: str) -> None:
        """What a password is checked against: see `AuditTrail.set_password`."""
        self._begin(None)
        self._audit.passwords[check_jid(jid)] = line

    async def password(self, jid: str) -> str:
        """The same, read."""
        self.round_trips += 1
        return self._audit.passwords.get(jid, "")

    def note(self, entry: dict[str, str], result: str) -> None:
        """One more entry."""
        tables = self._audit
        tables.last += 1
        words = {name: word for name, word in entry.items() if name in FIELDS and name != "result"}
        time = float(entry["now"]) if entry["now"] else self._clock.wall()
        tables.entries.append(AuditEntry(id=f"{tables.last}-0", time=time, result=result, **words))
        news, tables.news = tables.news, asyncio.Event()
        news.set()


async def with_entry(call: Callable[[], Awaitable[Any]], store: MemoryAudit, entry: dict[str, str]) -> Any:
    """Writes the entry as soon as the call has ended: no method waits for anything, so it is one step."""
    answer = await call()
    store.note(entry, result_of(answer))
    return answer


def _number(entry: AuditEntry) -> int:
    return int(entry.id.partition("-")[0])
