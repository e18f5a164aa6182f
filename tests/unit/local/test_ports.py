"""Ports of private servers are chosen once and kept."""

import asyncio
import socket
from pathlib import Path

import pytest

from copilot.errors import ConfigError
from copilot.local.ports import OWN_PORTS, remembered_port, wait_until_free

LOOPBACK = "127.0.0.1"


def test_a_chosen_port_is_kept(tmp_path: Path) -> None:
    port = remembered_port(tmp_path / "server" / "port", LOOPBACK, 0)
    assert port in OWN_PORTS
    assert remembered_port(tmp_path / "server" / "port", LOOPBACK, 0) == port


def test_a_wanted_port_is_taken_as_it_is_and_not_remembered(tmp_path: Path) -> None:
    assert remembered_port(tmp_path / "port", LOOPBACK, 5222) == 5222
    assert not (tmp_path / "port").exists()


async def test_a_port_in_use_is_refused_and_named() -> None:
    with listening() as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"Port {port} on 127.0.0.1 is in use"):
            await wait_until_free(LOOPBACK, port, limit_s=0)


async def test_a_port_that_its_owner_is_about_to_leave_is_waited_for() -> None:
    with listening() as other:
        port = other.getsockname()[1]
        waiting = asyncio.create_task(wait_until_free(LOOPBACK, port, limit_s=30))
        await asyncio.sleep(0)  # it has looked once
        assert not waiting.done()
    await waiting


def listening() -> socket.socket:
    """Somebody else's server."""
    other = socket.socket()
    other.bind((LOOPBACK, 0))
    other.listen()
    return other


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="an address of this machine"):
        remembered_port(tmp_path / "port", "192.0.2.1", 0)
