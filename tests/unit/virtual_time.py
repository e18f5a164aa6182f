"""An event loop whose clock jumps to the next timer as soon as nothing else is to be done: hours pass in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Never waits for a timer, only for something that has no time."""

    passed: Callable[[float], None]

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0 if timeout else timeout)
        if timeout and not ready:
            self.passed(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` begins at 1000 s."""

    def __init__(self) -> None:
        selector = _Selector()
        selector.passed = self._pass
        self._virtual_now = 1000.0
        super().__init__(selector)

    def time(self) -> float:
        return self._virtual_now

    def _pass(self, seconds: float) -> None:
        self._virtual_now += seconds


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end in such a loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


class LoopClock:
    """The running loop's time, as both of our clocks."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return self.monotonic()
