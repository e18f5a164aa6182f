"""Ports of private servers are chosen once and kept."""

import socket
from pathlib import Path

import pytest

from copilot.errors import ConfigError
from copilot.local.ports import OWN_PORTS, check_free, remembered_port

LOOPBACK = "127.0.0.1"


def test_a_chosen_port_is_kept(tmp_path: Path) -> None:
    port = remembered_port(tmp_path / "server" / "port", LOOPBACK, 0)
    assert port in OWN_PORTS
    assert remembered_port(tmp_path / "server" / "port", LOOPBACK, 0) == port


def test_a_wanted_port_is_taken_as_it_is_and_not_remembered(tmp_path: Path) -> None:
    assert remembered_port(tmp_path / "port", LOOPBACK, 5222) == 5222
    assert not (tmp_path / "port").exists()


def test_a_port_in_use_is_refused_and_named() -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"Port {port} on 127.0.0.1 is in use"):
            check_free(LOOPBACK, port)
    check_free(LOOPBACK, port)


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="an address of this machine"):
        remembered_port(tmp_path / "port", "192.0.2.1", 0)
