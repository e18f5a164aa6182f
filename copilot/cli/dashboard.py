"""Shows the dashboard to browsers, where the monitor's configuration says."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
from collections.abc import AsyncIterator, Sequence

from copilot.actor import Via
from copilot.cli.certificates import ServerCertificate
from copilot.client.desk import Desk, NotAllowed
from copilot.errors import ConfigError
from copilot.monitor.board import Board
from copilot.monitor.config import MonitorConfig
from copilot.monitor.dashboard.doing import Doing, Done, Forbidden, Hands, Person
from copilot.monitor.dashboard.server import Dashboard
from copilot.store.base import Store


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class StoreHands(Hands):
    """What people do by the dashboard, on the queue."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._desk = Desk(store)

    async def person(self, jid: str) -> Person | None:
        """Who that is, if his account counts."""
        account = await self._desk.person(jid)
        if account is None:
            return None
        return Person(jid=account.jid, standing=account.standing, created=account.created)

    async def password(self, jid: str) -> str:
        """What his password is checked against."""
        return await self._store.password(jid)

    async def do(
        self, jid: str, verb: str, targets: Sequence[str], reason: str, place: str
    ) -> Sequence[Done]:
        """Carry out a wish in his name: see `Desk.act`."""
        try:
            said = await self._desk.act(jid, verb, targets, reason=reason, via=Via.WEB, place=place)
        except NotAllowed as error:
            raise Forbidden(str(error)) from error
        return [Done(target=one.target, ok=one.ok, text=one.text) for one in said]


log = logging.getLogger("copilot.dashboard")


def certificate_of(config: MonitorConfig) -> ServerCertificate:
    """That of the dashboard."""
    return ServerCertificate(config, "dashboard_cert_file", "dashboard_key_file")


@contextlib.asynccontextmanager
async def showing_dashboard(
    config: MonitorConfig,
    board: Board,
    store: Store | None = None,
    *,
    certificate: ServerCertificate | None = None,
) -> AsyncIterator[None]:
    """Browsers can look at `board` while inside, unless the dashboard is switched off. `store`: where people change something
    once they have logged in, if the settings let them. `certificate`: that of the settings, where it may be renewed.

    Raises `ConfigError` if another program has the port, or a password would go over a network in clear.
    """
    listen = config.dashboard_listen
    if listen is None:
        yield
        return
    tls, doing = (certificate or certificate_of(config)).open(), None
    if config.dashboard_actions and store is not None:
        if tls is None and not _is_loopback(listen.host):
            raise ConfigError(
                f"{config.key('dashboard_actions')}: passwords would come to {listen.host} in clear: set MON_DASHBOARD_CERT_FILE, or listen "
                "on 127.0.0.1, behind a reverse proxy with TLS, say"
            )
        doing = Doing(StoreHands(store), secure=tls is not None, domain=config.jabber_domain)
    server = Dashboard(board, hosts=config.dashboard_hosts, doing=doing, tls=tls)
    try:
        await server.start(*listen)
    except OSError as error:
        raise ConfigError(
            f"{config.key('dashboard_listen')}: cannot listen on {listen.host}:{listen.port}: {error.strerror}; choose "
            "another port, or off"
        ) from error
    log.info(
        "The dashboard is at %s://%s:%d/.",
        "http" if tls is None else "https",
        f"[{listen.host}]" if ":" in listen.host else listen.host,
        listen.port,
    )
    try:
        yield
    finally:
        await server.stop()
