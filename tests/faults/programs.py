"""Our programs as an operator's supervisor runs them: each started again whenever it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from tests.acceptance.running import service

ROOT = Path(__file__).parents[2]
RESTART_S = 0.5  # systemd's RestartSec
STOP_LIMIT_S = (
    65.0  # an agent may need AGENT_DRAIN_GRACE (40 s) and 20 s, if its connection is half-open just then
)
READY = ("Ready as", "Serving ")
MODULES = {
    "agent": "copilot.cli.agent",
    "manager": "copilot.cli.jobmanager",
    "storage": "copilot.cli.storagemanager",
    "files": "copilot.cli.fileserver",
}


class Program:
    """One program. `name` is `<kind>-<number>`; its log is beside its settings."""

    def __init__(self, name: str, settings: Path, seed: int) -> None:
        self.name = name
        self.log = settings.with_suffix(".log")
        self.misdeeds: list[str] = []  # what it did that no program should do
        self._settings, self._seed = settings, seed
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._asked = 0  # how many of its ends were of our making
        self._away = asyncio.Event()
        self._away.set()

    @property
    def kind(self) -> str:
        """What it is."""
        return self.name.partition("-")[0]

    async def start(self) -> None:
        """Run it from now on; return when it is ready for the first time."""
        self._keeper = asyncio.create_task(self._keep())
        while not self._ready():
            if self._keeper.done():
                self._keeper.result()
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Ask it to leave, for good."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                code = await process.wait()
            if code != 0:
                self.misdeeds.append(f"{self.name} was asked to leave and ended with {code}")
        except TimeoutError:
            self.misdeeds.append(f"{self.name} was asked to leave and did not")
            process.kill()
            await process.wait()

    def signal(self, number: signal.Signals) -> bool:
        """Send it a signal; whether it ran."""
        if self._process is None or self._process.returncode is not None:
            return False
        self._asked += number in (signal.SIGKILL, signal.SIGTERM)
        self._process.send_signal(number)
        return True

    @contextlib.asynccontextmanager
    async def away(self) -> AsyncIterator[bool]:
        """Killed, and not started again while inside."""
        self._away.clear()
        try:
            yield self.signal(signal.SIGKILL)
        finally:
            self._away.set()

    def tell(self, line: str) -> bool:
        """Give it an order, see `troubled`; whether it could be given."""
        process = self._process
        if process is None or process.stdin is None or process.stdin.is_closing():
            return False
        process.stdin.write(f"{line}\n".encode())
        return True

    def _ready(self) -> bool:
        return self.log.exists() and any(word in self.log.read_text(errors="replace") for word in READY)

    async def _keep(self) -> None:
        while True:
            await self._away.wait()
            with self.log.open("ab") as output:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "tests.faults.troubled", str(self._seed), MODULES[self.kind]),
                    *("--config", self._settings),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    cwd="/",
                    env={**os.environ, **service(), "PYTHONPATH": str(ROOT)},
                )
            self._seed += 1
            asked = self._asked
            code = await self._process.wait()
            if self._asked == asked:
                self.misdeeds.append(f"{self.name} ended by itself with {code}: see {self.log}")
            await asyncio.sleep(RESTART_S)
