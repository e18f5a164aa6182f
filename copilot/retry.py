"""How long to wait before trying again, so that neither a fleet nor a failing server is hit in step."""

from __future__ import annotations

from collections.abc import Callable


def full_jitter(failures: int, longest: float, random: Callable[[], float]) -> float:
    """Seconds to wait after so many failures in a row: anything up to 1, 2, 4 … `longest`. `random()` is 0 … 1."""
    return random() * min(longest, 2.0 ** min(failures, 32))
