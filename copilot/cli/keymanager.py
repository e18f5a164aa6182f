"""`copilot-keymanager`: gives tickets to those who belong, for the secure mode of 2011 (report, section 2.2.7)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from functools import partial

from copilot.cli import daemon
from copilot.cli.directories import make_directory
from copilot.cli.heartbeating import with_heartbeat
from copilot.cli.metrics import showing_metrics
from copilot.cli.queue import open_store
from copilot.cli.reloading import Reloading, askers_of, people_of
from copilot.cli.reporting import reporters
from copilot.cli.securing import ServiceSecurity
from copilot.clock import SystemClock
from copilot.errors import ConfigError, StoreUnavailable
from copilot.keymanager.config import KeyManagerConfig
from copilot.keymanager.counts import KeyManagerCounts
from copilot.keymanager.credentials import Credentials
from copilot.keymanager.logic import KeyManager
from copilot.keymanager.registered import Registered
from copilot.log import rate_limited
from copilot.protocol.crypto import tickets
from copilot.protocol.rules import FEATURES, Role
from copilot.runtime.accounts import AccountCache
from copilot.runtime.compose import Parts
from copilot.runtime.loop import Loop
from copilot.runtime.reports import Happened
from copilot.runtime.status import ComponentStatus

log = logging.getLogger("copilot.keymanager")

STORE_RETRY = 5.0  # s


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    what = "Gives tickets to those who belong, for the secure mode of 2011."
    return daemon.main(KeyManagerConfig, what, run, arguments)


async def run(config: KeyManagerConfig, reloading: Reloading[KeyManagerConfig]) -> int:
    """Until it is asked to stop."""
    clock, counts = SystemClock(), KeyManagerCounts()
    make_directory(config.state_dir)
    log.info("The component does not need to be waken up.")
    if not config.secure_mode:
        raise ConfigError(f"{config.key('secure_mode')}: expected 1: tickets are not given away in clear")
    credentials = (
        Credentials({}) if config.credentials_file is None else Credentials.read(config.credentials_file)
    )
    askers, allowed = askers_of(config, reloading), people_of(config, reloading, "allow", _allowed)
    async with contextlib.AsyncExitStack() as stack:
        store = open_store(config) if config.sees_queue else None
        accounts = None
        if store is not None:
            stack.push_async_callback(store.close)
            accounts = AccountCache(store, agents=allowed, askers=askers)
            await _read(accounts)
            await stack.enter_async_context(accounts.kept_fresh())
        known = (lambda _: None) if accounts is None else accounts.account
        secure = ServiceSecurity(config, known, gives_tickets=True)
        manager = KeyManager(
            sign=_Signing(secure),
            registered=Registered(allowed, store, clock.wall),
            credentials=credentials,
            validity=config.ticket_validity,
            wall=clock.wall,
            counts=counts,
        )
        throttle = daemon.throttle(config)
        reloading.take("rate_limit", "rate_burst", by=partial(daemon.throttle_again, throttle))
        endpoint = daemon.endpoint(
            Role.KEY_MANAGER,
            permits=(lambda _, __: True) if accounts is None else accounts.permits,
            throttle=throttle,
            security=secure.security,
        )

        async def standing() -> Mapping[str, str]:
            return counts.standing()

        status = ComponentStatus("copilot-keymanager", endpoint, FEATURES, clock.monotonic, standing)
        transport = daemon.transport(
            config, config.state_dir, "Co-Pilot key manager", status=status, askers=askers, end=endpoint
        )
        parts = Parts(
            [manager, *reporters(config.mon_jabber_address, "keymanager", Happened(events=counts.events))]
        )
        component, performer = with_heartbeat(parts, config, transport, askers)
        loop = Loop(component, endpoint, transport, performer=performer, doorman=accounts, clock=clock)
        numbers = (counts, loop.counts, endpoint.counts, transport.counts, secure.openings)
        await stack.enter_async_context(
            showing_metrics(config, *numbers, directories={"state": config.state_dir})
        )
        return await daemon.turn(loop, reloading)


class _Signing:
    """Signs tickets with the newest key that the key file has."""

    def __init__(self, secure: ServiceSecurity) -> None:
        self._secure = secure

    def __call__(self, ticket: tickets.Ticket) -> str:
        ring = self._secure.ring
        assert ring is not None, "in secure mode there are keys"
        ring.refresh()
        return tickets.issue(ticket, ring.private.opening[0])


async def _read(accounts: AccountCache) -> None:
    """Who everybody is; a queue that is away is waited for."""
    while True:
        try:
            await accounts.refresh()
        except StoreUnavailable as error:
            rate_limited(log, "store", logging.ERROR, "%s; trying again in %.0f s", error, STORE_RETRY)
            await asyncio.sleep(STORE_RETRY)
        else:
            return


def _allowed(config: KeyManagerConfig) -> tuple[str, ...]:
    """Who gets a ticket without a record."""
    if config.allow is None:
        return () if config.sees_queue else (config.jabber_domain,)
    return config.allow
