"""A component of ours as a child process: job manager, storage manager, file server or agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from copilot.local.process import Child
from copilot.local.service import Service

START_LIMIT_S = 30.0


class Component(Service):
    """One daemon; it is ready when `ready` stands in its log."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str],
        ready: str,
        may_leave: bool = False,
        dispensable: bool = False,
    ) -> None:
        """`environment` is all that it gets of ours."""
        super().__init__(name)
        self.may_leave = may_leave
        self.dispensable = dispensable
        self._argv = argv
        self._log = log
        self._environment = environment
        self._ready = ready

    async def start(self) -> None:
        """Return when it says that it is ready. Raises CopilotError with the end of its log."""
        child = await Child.start(
            self._argv,
            log=self._log,
            user=None,  # it gives root up by itself: its code may lie where only root can read
            env=self._environment,
            cwd=Path("/"),
        )
        await child.wait_until(self._is_ready, limit_s=START_LIMIT_S)
        self._child = child

    def _is_ready(self) -> bool:
        return self._ready in self._log.read_text(errors="replace")
