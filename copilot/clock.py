"""Time as a port: logic gets it as an argument, loops take it from here, tests bring their own."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings, both in seconds."""

    def monotonic(self) -> float:
        """For time limits: never jumps, has no meaning outside the process."""
        ...

    def wall(self) -> float:
        """For people and for other machines: since the epoch, UTC; may jump."""
        ...


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()
