"""Messages that somebody else can cause at will are logged at most once a minute per key, and so many a minute in all.

Keys hold names from the wire, and whoever has many names could fill a disk. What is an error is always written: its keys are
words of our own."""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Hashable

from copilot.clock import Clock, SystemClock

INTERVAL = 60.0  # s between two messages with one key
MAX_KEYS = 10_000  # keys come from the wire: the oldest are forgotten
MOST_LINES = 600  # in one interval, of all keys together

SWAMPED = "%d such lines were written within a minute: what else is like them is not, until it has passed"


class RateLimiter:
    """Remembers when each key was last let through, and how often it was held back since."""

    def __init__(
        self,
        clock: Clock,
        *,
        interval: float = INTERVAL,
        max_keys: int = MAX_KEYS,
        most_lines: int = MOST_LINES,
    ) -> None:
        self._clock = clock
        self._interval = interval
        self._max_keys = max_keys
        self._most_lines = most_lines
        self.forget()

    def forget(self) -> None:
        """Begin anew: tests that share a process know nothing of each other."""
        self._since = -math.inf  # since then so many lines were written
        self._lines = 0
        self._seen: OrderedDict[Hashable, tuple[float, int]] = (
            OrderedDict()
        )  # key: (let through at, held back)

    def full(self) -> bool | None:
        """Whether there is no room for another line in this interval: None the first time that there is none."""
        now = self._clock.monotonic()
        if now - self._since >= self._interval:
            self._since, self._lines = now, 0
        self._lines += 1
        return None if self._lines == self._most_lines + 1 else self._lines > self._most_lines

    def take(self, key: Hashable) -> int | None:
        """None: hold it back. Else let it through: so many with this key were held back since the last one."""
        now = self._clock.monotonic()
        passed, held = self._seen.get(key, (now - self._interval, 0))
        if now - passed < self._interval:
            self._seen[key] = (passed, held + 1)
            return None
        self._seen[key] = (now, 0)
        self._seen.move_to_end(key)
        if len(self._seen) > self._max_keys:
            self._seen.popitem(last=False)
        return held


process_wide = RateLimiter(SystemClock())


def rate_limited(
    logger: logging.Logger,
    key: Hashable,
    level: int,
    message: str,
    *args: object,
    limiter: RateLimiter = process_wide,
    exc_info: BaseException | None = None,
) -> None:
    """Log `message % args` unless this logger said something under `key` in the last minute."""
    if not logger.isEnabledFor(level):
        return
    held = limiter.take((logger.name, key))
    if held is None:
        return
    if level < logging.ERROR and (full := limiter.full()) is not False:
        if full is None:
            logger.log(logging.WARNING, SWAMPED, MOST_LINES, stacklevel=2)
        return
    text = f"{message} (%d more like it were not logged)" if held else message
    logger.log(level, text, *args, *((held,) if held else ()), exc_info=exc_info, stacklevel=2)
