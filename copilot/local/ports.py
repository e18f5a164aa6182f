"""TCP ports of private servers: chosen once, remembered in the server's directory, so that a restart keeps them."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from pathlib import Path

import psutil

from copilot.errors import ConfigError
from copilot.local.writing import write_file

# Below the range from which Linux takes ports for outgoing connections (from 32768): a port remembered from
# yesterday is not some client's today.
OWN_PORTS = range(15000, 32000)
ATTEMPTS = 100
RELEASE_S = 3.0  # a server that was killed has its port until the kernel has cleared it away
POLL_S = 0.05


def remembered_port(file: Path, listen: str, wanted: int) -> int:
    """The port to listen on: `wanted` if not 0, else the one in `file`, else a free one, which `file` then keeps."""
    if wanted:
        return wanted
    if file.exists():
        return int(file.read_text())
    port = _free_port(listen)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, f"{port}\n", mode=0o644)
    return port


async def wait_until_free(listen: str, port: int, *, limit_s: float = RELEASE_S) -> None:
    """Raises ConfigError if another program still listens there; else one could talk to that one by mistake."""
    deadline = time.monotonic() + limit_s
    while not _is_free(listen, port):
        if time.monotonic() > deadline:
            raise ConfigError(
                f"Port {port} on {listen} is in use by another program (or {listen} is not an address of this "
                "machine). Stop that program or choose another port."
            )
        await asyncio.sleep(POLL_S)


def listens(pid: int, port: int) -> bool:
    """Does this very process listen there? A connection alone could be to another program."""
    try:
        connections = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.Error:
        return False  # it has just ended, or has not yet become the server
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)


def _free_port(listen: str) -> int:
    for port in random.SystemRandom().sample(OWN_PORTS, ATTEMPTS):
        if _is_free(listen, port):
            return port
    raise ConfigError(
        f"Not one of {ATTEMPTS} ports tried on {listen} is free. Is it an address of this machine?"
    )


def _is_free(listen: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do; an old connection is no owner
        try:
            probe.bind((listen, port))
        except OSError:
            return False
    return True
