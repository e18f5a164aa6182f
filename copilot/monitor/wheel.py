"""Slices of time in a ring whose memory never grows: which slice of all time stands at which place."""

from __future__ import annotations

from array import array
from collections.abc import Callable


class Wheel:
    """`slices` slices of `width` seconds; the oldest one makes room for the newest. `clear(place)` empties what is kept there.

    Each time has its place: what comes late, like an event that is read after a restart, still gets to its own.
    """

    def __init__(self, width: float, slices: int, clear: Callable[[int], None]) -> None:
        self._width = width
        self._clear = clear
        self._numbers = array("q", [-1] * slices)

    def place(self, time: float) -> int | None:
        """Where to keep what happened at `time`; None for what is older than all slices."""
        number = self.number(time)
        at = number % len(self._numbers)
        if self._numbers[at] > number:
            return None
        if self._numbers[at] < number:
            self._numbers[at] = number
            self._clear(at)
        return at

    def number(self, time: float) -> int:
        """The number of a slice, counted from the epoch."""
        return int(time // self._width)

    def has(self, number: int) -> int | None:
        """Where the slice of this number stands; None: nothing of it is kept."""
        at = number % len(self._numbers)
        return at if self._numbers[at] == number else None

    def kept(self, now: float, *, last: int | None = None) -> list[int]:
        """The places of the slices that are not too old by now; `last`: the number of the last one that counts."""
        oldest = self.number(now) - len(self._numbers)
        return [
            at
            for at, number in enumerate(self._numbers)
            if oldest < number and (last is None or number <= last)
        ]
