"""Where the monitor shows its dashboard."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from copilot.cli.dashboard import showing_dashboard
from copilot.config.kinds import ADDRESS_OR_OFF, Address
from copilot.errors import ConfigError
from copilot.local import certificates
from copilot.monitor.config import MonitorConfig
from copilot.monitor.dashboard import passwords
from copilot.roles import Account, Standing
from copilot.store.memory import MemoryStore
from tests.browser import world


def config(listen: Address | None) -> MonitorConfig:
    return MonitorConfig(
        jabber_server="localhost",
        jabber_domain="localhost",
        jabber_id="monitor",
        jabber_password="x",
        dashboard_listen=listen,
        dashboard_hosts=("status.example.org",),
    )


def board() -> world.MemoryBoard:
    return world.MemoryBoard(world.empty(0), clock=time.time)


async def test_it_is_shown_where_the_configuration_says_and_no_longer_than_the_monitor_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = Address(*free.getsockname())
    url = f"http://{listen.host}:{listen.port}/"
    async with aiohttp.ClientSession() as session:
        async with (
            showing_dashboard(config(listen), board()),
            session.get(url, headers={"Host": "status.example.org"}) as answer,
        ):
            assert answer.status == 200
            assert f"The dashboard is at {url}." in caplog.text
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(url)


async def test_a_port_that_another_program_has_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = Address(*taken.getsockname())
        with pytest.raises(
            ConfigError, match=r"MON_DASHBOARD_LISTEN: cannot listen on .*; choose another port"
        ):
            await showing_dashboard(config(listen), board()).__aenter__()


async def test_it_can_be_switched_off() -> None:
    assert ADDRESS_OR_OFF.convert("off") is None
    assert ADDRESS_OR_OFF.convert("[::1]:80") == Address("::1", 80)
    async with showing_dashboard(config(None), board()):
        pass


async def test_no_password_comes_over_a_network_in_clear(tmp_path: Path) -> None:
    settings = replace(config(Address("0.0.0.0", 0)), dashboard_actions=True)
    with pytest.raises(
        ConfigError, match=r"passwords would come to 0\.0\.0\.0 in clear: set MON_DASHBOARD_CERT_FILE"
    ):
        async with showing_dashboard(settings, board(), MemoryStore()):
            pass
    broken = tmp_path / "cert.pem"
    broken.write_text("none")
    with pytest.raises(ConfigError, match="or its key cannot be used"):
        async with showing_dashboard(replace(settings, dashboard_cert_file=broken), board(), MemoryStore()):
            pass


async def test_by_https_the_cookie_is_for_https_alone(tmp_path: Path) -> None:
    made = certificates.ensure(tmp_path / "tls", ["localhost"])
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = Address(*free.getsockname())
    settings = replace(
        config(listen),
        dashboard_actions=True,
        dashboard_cert_file=made.cert_file,
        dashboard_key_file=made.key_file,
    )
    store = MemoryStore()
    await store.put_account(Account(jid="anna@localhost", standing=Standing.OPERATOR, created=5.0))
    await store.set_password("anna@localhost", passwords.line("correct horse", 5.0))
    trusted = ssl.create_default_context(cafile=str(made.ca_file))
    origin = f"https://localhost:{listen.port}"
    form = {"name": "anna", "password": "correct horse"}
    async with (
        showing_dashboard(settings, board(), store),
        aiohttp.ClientSession(headers={"Origin": origin}) as session,
        session.post(f"{origin}/login", data=form, ssl=trusted, allow_redirects=False) as answer,
    ):
        assert answer.status == 303
        cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-copilot_session=")
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Strict; Secure")
