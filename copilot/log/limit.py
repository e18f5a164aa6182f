"""Messages that somebody else can cause at will are logged at most once a minute per key."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Hashable

from copilot.clock import Clock, SystemClock

INTERVAL = 60.0  # s between two messages with one key
MAX_KEYS = 10_000  # keys come from the wire: the oldest are forgotten


class RateLimiter:
    """Remembers when each key was last let through, and how often it was held back since."""

    def __init__(self, clock: Clock, *, interval: float = INTERVAL, max_keys: int = MAX_KEYS) -> None:
        self._clock = clock
        self._interval = interval
        self._max_keys = max_keys
        self._seen: OrderedDict[Hashable, tuple[float, int]] = (
            OrderedDict()
        )  # key: (let through at, held back)

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


_process_wide = RateLimiter(SystemClock())


def rate_limited(
    logger: logging.Logger,
    key: Hashable,
    level: int,
    message: str,
    *args: object,
    limiter: RateLimiter = _process_wide,
    exc_info: BaseException | None = None,
) -> None:
    """Log `message % args` unless this logger said something under `key` in the last minute."""
    if not logger.isEnabledFor(level):
        return
    held = limiter.take((logger.name, key))
    if held is None:
        return
    text = f"{message} (%d more like it were not logged)" if held else message
    logger.log(level, text, *args, *((held,) if held else ()), exc_info=exc_info, stacklevel=2)
