"""Time as a port: logic gets it as an argument, loops take it from here, tests bring their own."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings, both in seconds."""

    def monotonic(self) -> float:
        """For time limits: never jumps, has no meaning outside the machine."""
        ...

    def wall(self) -> float:
        """For people and for other machines: since the epoch, UTC; may jump."""
        ...


# CLOCK_BOOTTIME, which Linux alone has, goes on while the machine sleeps: others do not wait for a laptop that is closed
# (clock_gettime(2)).
_MONOTONIC = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.clock_gettime(_MONOTONIC)

    def wall(self) -> float:
        return time.time()
