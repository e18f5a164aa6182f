"""What systemd is told, on a socket of its kind."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from copilot.runtime.systemd import ALIVE, READY, STOPPING, Supervisor
from tests.patience import PATIENCE_S


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def environment(systemd: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": systemd.getsockname(), **more}


async def heard(systemd: socket.socket) -> str:
    async with asyncio.timeout(PATIENCE_S):
        return (await asyncio.get_running_loop().sock_recv(systemd, 1000)).decode()


async def test_it_is_told_what_we_say(systemd: socket.socket) -> None:
    Supervisor(environment(systemd)).tell(READY, "STATUS=at work")
    assert await heard(systemd) == "READY=1\nSTATUS=at work"


async def test_the_watchdog_hears_from_us_twice_in_its_time_and_at_the_end(systemd: socket.socket) -> None:
    supervisor = Supervisor(environment(systemd, WATCHDOG_USEC="20000"))
    assert supervisor.interval == 0.01
    async with supervisor.watching():
        assert [await heard(systemd) for _ in range(3)] == [ALIVE] * 3
    last = ALIVE
    while last == ALIVE:
        last = await heard(systemd)
    assert last == STOPPING


async def test_an_abstract_socket_is_one_that_begins_with_an_at_sign() -> None:
    name = f"copilot-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.setblocking(False)
        Supervisor({"NOTIFY_SOCKET": f"@{name}"}).tell(READY)
        assert await heard(listening) == READY


@pytest.mark.parametrize("usec", ["", "0", "-1", "many"])
def test_without_a_watchdog_nothing_is_kept_alive(usec: str) -> None:
    assert Supervisor({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": usec}).interval is None


def test_the_watchdog_of_another_process_is_not_ours() -> None:
    given = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1000000"}
    assert Supervisor({**given, "WATCHDOG_PID": "7"}, pid=8).interval is None
    assert Supervisor({**given, "WATCHDOG_PID": "8"}, pid=8).interval == 0.5


async def test_without_systemd_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    async with Supervisor({}).watching():
        Supervisor({}).tell(READY)
    assert caplog.text == ""


def test_what_cannot_be_said_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    Supervisor({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell(READY)
    assert "systemd cannot be told READY=1" in caplog.text
