"""Our own programs in a conversation: the real commands, each with a configuration file, started as a user would."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from copilot.local.process import give, unprivileged_user
from tests.acceptance.running import service
from tests.conversations.clocked import MOVED
from tests.conversations.peer import LIMIT_S

MODULES = {
    "agent": "copilot.cli.agent",
    "manager": "copilot.cli.jobmanager",
    "storage": "copilot.cli.storagemanager",
    "keymanager": "copilot.cli.keymanager",
}
LAUNCHER = Path(__file__).with_name("clocked.py")
ROOT = Path(__file__).parents[2]
POLL_S = 0.02


def private(path: Path) -> Path:
    """A new directory for our programs."""
    path.mkdir(mode=0o700)
    give(path, unprivileged_user())
    return path


def configuration(path: Path, settings: Mapping[str, object]) -> Path:
    """A configuration file for our programs."""
    path.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    path.chmod(0o600)
    give(path, unprivileged_user())
    return path


@dataclass(slots=True, kw_only=True)
class Ours:
    """One running program."""

    process: asyncio.subprocess.Process
    log: Path
    ahead: float = 0.0  # seconds that its clock was moved

    @classmethod
    async def start(cls, kind: str, settings: Path) -> Ours:
        """Return when it is logged in."""
        log = settings.with_suffix(".log")
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, LAUNCHER, MODULES[kind], "--config", settings),
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**os.environ, **service(), "PYTHONPATH": str(ROOT)},
            )
        started = cls(process=process, log=log)
        try:
            await started.says("Ready as")
        except BaseException:
            await started.kill()
            raise
        return started

    async def says(self, text: str) -> None:
        """Return when `text` stands in its log."""
        try:
            async with asyncio.timeout(LIMIT_S):
                while text not in (said := self.log.read_text()):
                    assert self.process.returncode is None, f"it has ended: {said}"
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise AssertionError(f"not said within {LIMIT_S:g} s: {text}") from None

    async def pass_time(self, seconds: float) -> None:
        """Move its clock."""
        assert self.process.stdin is not None
        self.ahead += seconds
        self.process.stdin.write(f"{seconds}\n".encode())
        await self.says(MOVED.format(self.ahead))

    async def stop(self) -> None:
        """Ask it to leave, and see that it does so in order."""
        assert self.process.returncode is None, f"it has ended with {self.process.returncode}"
        self.process.terminate()
        async with asyncio.timeout(LIMIT_S):
            assert await self.process.wait() == 0

    async def kill(self) -> None:
        """Kill -9, if it still runs."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()
