"""Who belongs here, as far as the key manager goes: account records first, then a list (decision 17)."""

from __future__ import annotations

from collections.abc import Callable

from copilot.protocol.commands import GetTicket
from copilot.protocol.envelope import bare
from copilot.protocol.people import Includes
from copilot.roles import may_say
from copilot.store.accounts import AccountStore


class Registered:
    """Whether somebody gets a ticket. `wall()` is in seconds since the epoch."""

    def __init__(self, allow: Includes, accounts: AccountStore | None, wall: Callable[[], float]) -> None:
        self._allow = allow
        self._accounts = accounts
        self._wall = wall

    async def __call__(self, jid: str) -> bool:
        """Raises `StoreUnavailable`: then the question comes again."""
        account = None if self._accounts is None else await self._accounts.account(bare(jid))
        if account is None:
            return self._allow.include(jid)
        return account.counts(self._wall()) and may_say(account.standing, GetTicket.NAME)
