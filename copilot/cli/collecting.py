"""The collector of cycles and programs that are short: it looked at all that is loaded when they began and again when they ended,
which was a third of the processor time of `copilot jobs list` (decision 24). What ends gives its memory back anyway."""

from __future__ import annotations

import atexit
import gc

WHILE_LOADING = 100_000  # new objects until it looks for cycles; a command loads fewer


def none_at_the_end() -> None:
    """Have it look at nothing more once the program is over."""
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)


def few() -> None:
    """For commands: hardly any while they load. One that runs for long has its memory looked through all the same."""
    gc.set_threshold(WHILE_LOADING, 10, 10)
    none_at_the_end()
