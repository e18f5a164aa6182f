"""What one child process does, started any number of times: a private server, or a component of ours."""

from __future__ import annotations

from abc import ABC, abstractmethod

from copilot.errors import CopilotError
from copilot.local.process import Child


class Service(ABC):
    """A child process that can be started again as it was. The object that started it stops it."""

    may_leave = False  # whether an end with exit code 0 is meant for good, as with an agent that was drained
    dispensable = False  # whether the system goes on without it when it does not last, as without a monitor

    def __init__(self, name: str) -> None:
        """`name` is for people: it stands in the log."""
        self.name = name
        self._child: Child | None = None

    @abstractmethod
    async def start(self) -> None:
        """Return when it is ready, the first time and after each end.

        Raises CopilotError with the end of its log if it does not come up, and ConfigError or ServerMissing for
        what somebody has to mend first.
        """

    async def stop(self) -> None:
        """End it if this object started it."""
        if self._child is not None:
            await self._child.stop()
            self._child = None

    async def wait(self) -> int:
        """The exit status, as soon as it has ended by itself or by `stop` (negative: the signal)."""
        return await self._known_child().wait()

    def last_words(self) -> str:
        """How it ended, and the last lines of its log."""
        return self._known_child().last_words()

    def _known_child(self) -> Child:
        if self._child is None:
            raise CopilotError(f"{self.name} was not started by this object; call start() first")
        return self._child
