"""What the XMPP server has yet to be told, carried out from the session of a manager who is an admin there (decision 17).

Every step may be repeated, by any instance. Revocation does not wait for it: who is revoked is refused anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence

from copilot.errors import AccountRefused
from copilot.job import Event
from copilot.log import JobRef, PeerRef, rate_limited
from copilot.store.accounts import AccountStore, Errand
from copilot.transport.accounts import AccountService

log = logging.getLogger("copilot.accounts")

LOOK_EVERY = 1.0  # s, without a hint
AT_ONCE = 10
AGAIN_AFTER = 5.0  # s
NO_ADMIN = (
    "the XMPP server of {domain} lets {jid} change no accounts, so no new agent can come in, and revoked ones are refused but not "
    'thrown out. Make {jid} an admin there. Prosody: admins = {{ "{jid}" }} and the module "admin_adhoc"; ejabberd: the acl behind '
    "access_rules: configure, with mod_adhoc and mod_configure"
)


class Errands:
    """The errands of a deployment, as one instance sees them."""

    def __init__(
        self,
        store: AccountStore,
        service: AccountService,
        jid: str,
        *,
        wrote: Callable[[Sequence[Event]], object] = lambda _: None,
    ) -> None:
        """`jid` is our own bare JID. `wrote` is told of the events of jobs that went back because an account has ended."""
        self._store = store
        self._service = service
        self._no_admin = NO_ADMIN.format(jid=jid, domain=jid.partition("@")[2])
        self._wrote = wrote
        self._stir = asyncio.Event()

    async def settle(self, jid: str) -> bool:
        """Have the server agree about this account now. False if something else is wanted by now, or cannot be had. Raises
        `AccountRefused`."""
        errand = await self._store.errand(jid)
        if errand is None:
            return True
        if errand.password is None:
            return False
        await self._carry_out(errand)
        return await self._store.done_errand(errand)

    def hint(self) -> None:
        """There may be something to do."""
        self._stir.set()

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """They are carried out while inside, and accounts end when their time is over."""
        task = asyncio.create_task(self._work())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _work(self) -> None:
        while True:
            try:
                await self._end_accounts()
                busy = await self.round()
            except Exception as error:  # noqa: BLE001  # whatever it is: the next account is not to wait for ever
                rate_limited(log, "errands", logging.WARNING, "accounts cannot be kept for now: %s", error)
                busy = False
            if not busy:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._stir.wait()
                self._stir.clear()

    async def round(self) -> bool:
        """Carry out what is due; whether there may be more. Raises `StoreError`."""
        errands = await self._store.errands(limit=AT_ONCE)
        for errand in errands:
            try:
                await self._carry_out(errand)
            except AccountRefused as error:
                await self._store.tried_errand(errand, self._why(error), again=AGAIN_AFTER)
                if error.condition == "timeout":  # no session: the others wait as well
                    return False
            else:
                await self._store.done_errand(errand)
        return len(errands) == AT_ONCE

    async def _end_accounts(self) -> None:
        events = await self._store.end_accounts()
        self._wrote(events)
        for one in events:
            log.warning(
                "%s: the account of its agent %s has ended: %s",
                JobRef(one.job, one.attempt),
                PeerRef(one.agent),
                one.kind,
            )

    async def _carry_out(self, errand: Errand) -> None:
        if errand.password is None:
            await self._service.remove(errand.jid)
            log.info("account %s: removed from the XMPP server", errand.jid)
        else:
            await self._service.put(errand.jid, errand.password)
            log.info("account %s: made on the XMPP server", errand.jid)

    def _why(self, error: AccountRefused) -> str:
        level = logging.WARNING if error.condition == "timeout" else logging.ERROR
        text = self._no_admin if error.no_admin else str(error)
        rate_limited(log, f"account {error.condition}", level, "%s", text)
        return text
