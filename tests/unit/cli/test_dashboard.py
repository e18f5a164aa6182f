"""Where the monitor shows its dashboard."""

from __future__ import annotations

import logging
import socket
import time

import aiohttp
import pytest

from copilot.cli.dashboard import showing_dashboard
from copilot.config.kinds import ADDRESS_OR_OFF, Address
from copilot.errors import ConfigError
from copilot.monitor.config import MonitorConfig
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
