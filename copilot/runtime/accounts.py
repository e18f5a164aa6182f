"""Who everybody is, held in a manager's memory: so each command can be judged at once (decision 17).

The records of the store are read at the start, and what is newer once a second and with each hint. Somebody who is not
among them may have come just now: whoever speaks for the first time is looked up before he is heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection

from copilot.clock import Clock, SystemClock
from copilot.log import rate_limited
from copilot.protocol.envelope import bare
from copilot.protocol.people import Includes, People
from copilot.roles import Account, Standing, may_say
from copilot.store.accounts import AccountStore

log = logging.getLogger("copilot.accounts")

REFRESH_EVERY = 1.0  # s, without a hint
BATCH = 1000  # records in one question
STRANGERS_REMEMBERED = 50_000  # of whom the store knew nothing; more than a fleet of 2011 has agents

_SYSTEM_CLOCK = SystemClock()


class AccountCache:
    """The standing of everybody. Knows nothing before the first `refresh`."""

    def __init__(
        self,
        store: AccountStore,
        *,
        agents: Includes,
        services: Collection[str] = (),
        askers: Includes | None = None,
        clock: Clock = _SYSTEM_CLOCK,
    ) -> None:
        """Without a record, `agents` take jobs, and `services` (bare JIDs) are components, as `askers` are, who may ask how we
        fare; in this order: services, agents, askers. Everybody else is nobody."""
        self._store = store
        self._agents = agents
        self._services = frozenset(map(bare, services))
        self._askers = askers or People.of()
        self._clock = clock
        self._records: dict[str, Account] = {}
        self._strangers: OrderedDict[str, None] = OrderedDict()
        self._number = 0
        self._stir = asyncio.Event()

    def standing_of(self, jid: str) -> Standing | None:
        """What this bare JID is now, None for nobody."""
        account = self._records.get(jid)
        if account is not None:
            return account.standing if account.counts(self._clock.wall()) else None
        if jid in self._services:
            return Standing.SERVICE
        if self._agents.include(jid):
            return Standing.AGENT
        return Standing.SERVICE if self._askers.include(jid) else None

    def permits(self, jid: str, command: str) -> bool:
        """Whether this bare JID may give the command."""
        return may_say(self.standing_of(jid), command)

    def account(self, jid: str) -> Account | None:
        """The record of a bare JID, if there is one and it counts now."""
        account = self._records.get(jid)
        return account if account is not None and account.counts(self._clock.wall()) else None

    def has_record(self, jid: str) -> bool:
        """Whether there is a record of this bare JID, whether it counts or not."""
        return jid in self._records

    def knows(self, jid: str) -> bool:
        """Whether this bare JID was looked up already, or need not be."""
        return jid in self._records or jid in self._services or jid in self._strangers

    async def look_up(self, jid: str) -> None:
        """Ask the store about a bare JID. Raises `StoreError`."""
        account = await self._store.account(jid)
        if account is not None:
            # What `refresh` has read meanwhile is newer.
            self._records.setdefault(jid, account)
            return
        self._strangers[jid] = None
        if len(self._strangers) > STRANGERS_REMEMBERED:
            self._strangers.popitem(last=False)

    async def refresh(self) -> None:
        """Read what is new. Raises `StoreError`."""
        while True:
            news = await self._store.accounts(after=self._number, limit=BATCH)
            for account in news.accounts:
                self._records[account.jid] = account
                self._strangers.pop(account.jid, None)
            self._number = max(self._number, news.number)
            if len(news.accounts) < BATCH:
                return

    def hint(self) -> None:
        """There may be something new."""
        self._stir.set()

    @contextlib.asynccontextmanager
    async def kept_fresh(
        self, refreshed: Callable[[], object] = lambda: None, *, wait: bool = True
    ) -> AsyncIterator[None]:
        """All that is known at the start, and what is new from then on, while inside; `refreshed` is called after each look.
        Without `wait` the start is left to that, too: the store may be away."""
        if wait:
            await self.refresh()
        else:
            self.hint()
        task = asyncio.create_task(self._keep_fresh(refreshed))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _keep_fresh(self, refreshed: Callable[[], object]) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_EVERY):
                    await self._stir.wait()
            self._stir.clear()
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001  # whatever it is: if this ended, nobody would be revoked any more
                rate_limited(log, "accounts", logging.WARNING, "accounts cannot be read for now: %s", error)
                await asyncio.sleep(REFRESH_EVERY)
            else:
                refreshed()
