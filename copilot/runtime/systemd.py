"""What systemd wants to know: that we are ready, that we live, that we stop (sd_notify(3), Type=notify).

Without systemd nothing is sent. The keep-alive comes out of the loop that does the work, and the transport ends a
session over which no ping comes back; so a program that systemd takes for alive has turned its loop, and has a session
or is on its way to one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping

log = logging.getLogger("copilot")

READY, RELOADING, STOPPING, ALIVE = "READY=1", "RELOADING=1", "STOPPING=1", "WATCHDOG=1"


class Supervisor:
    """The socket to systemd, if there is one. `environment`: the process's own."""

    def __init__(self, environment: Mapping[str, str] = os.environ, *, pid: int | None = None) -> None:
        """`pid` is ours; a watchdog meant for another process (WATCHDOG_PID) is not kept alive by us."""
        self._address = environment.get("NOTIFY_SOCKET", "")
        for_us = environment.get("WATCHDOG_PID", "") in ("", str(os.getpid() if pid is None else pid))
        text = environment.get("WATCHDOG_USEC", "") if for_us else ""
        self.said_ready = False
        self.interval = int(text) / 1e6 / 2 if text.isdecimal() and int(text) > 0 else None  # s

    def tell(self, *lines: str) -> None:
        """Send lines such as `READY=1` or `STATUS=…`. What cannot be sent is logged, for systemd may end us then."""
        if not self._address:
            return
        self.said_ready = self.said_ready or READY in lines
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            log.warning("systemd cannot be told %s at %s: %s", lines[0], self._address, error.strerror)

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Keep the watchdog quiet while inside, and say on the way out that we stop."""
        alive = asyncio.create_task(self._keep_alive()) if self._address and self.interval else None
        try:
            yield
        finally:
            if alive is not None:
                alive.cancel()
            self.tell(STOPPING)

    async def _keep_alive(self) -> None:
        assert self.interval is not None
        while True:
            self.tell(ALIVE)
            await asyncio.sleep(self.interval)
