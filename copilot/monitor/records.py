"""Who has an account record, as the monitor sees it: their keys count, and their standing (decision 17).

The monitor goes on while the queue is away, for that is when people look at it: then who has no record that it knows is heard as
its own settings say.
"""

from __future__ import annotations

import logging

from copilot.errors import StoreError
from copilot.log import rate_limited
from copilot.protocol.people import People
from copilot.runtime.accounts import AccountCache
from copilot.store.accounts import AccountStore

log = logging.getLogger("copilot.monitor")


class Records:
    """A `Doorman` that looks people up if that can be done now."""

    def __init__(self, store: AccountStore) -> None:
        self.cache = AccountCache(store, agents=People.of())

    def knows(self, jid: str) -> bool:
        """See `Doorman.knows`."""
        return self.cache.knows(jid)

    async def look_up(self, jid: str) -> None:
        """See `Doorman.look_up`; never raises."""
        try:
            await self.cache.look_up(jid)
        except StoreError as error:
            text = "the account of a sender cannot be looked up for now: %s"
            rate_limited(log, "accounts", logging.WARNING, text, error)

    def permits(self, jid: str, command: str) -> bool:
        """Whether this bare JID may give the command: as its record says, if it has one."""
        return not self.cache.has_record(jid) or self.cache.permits(jid, command)
