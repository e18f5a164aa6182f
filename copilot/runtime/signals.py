"""SIGTERM and SIGINT: the first asks politely, the second ends the process at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator

_STOP = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def on_stop(ask: Callable[[], object]) -> Iterator[None]:
    """While inside, SIGTERM or SIGINT calls `ask` once; another one exits with 128 + its number."""
    loop = asyncio.get_running_loop()
    asked = False

    def handler(number: int) -> None:
        nonlocal asked
        if asked:
            os._exit(128 + number)
        asked = True
        ask()

    for number in _STOP:
        loop.add_signal_handler(number, handler, number)
    try:
        yield
    finally:
        for number in _STOP:
            loop.remove_signal_handler(number)
