"""How often something happened lately, by words: a ring of slices, each with a count of the words that came in it."""

from __future__ import annotations

from collections import Counter

MOST_WORDS = (
    100  # in one slice: causes and kinds are few, but what an old program writes is not ours to choose
)
OTHERS = "others"


class Tallies:
    """Counts over the last `slices` times `width` seconds."""

    def __init__(self, width: float, slices: int) -> None:
        self._width = width
        self._slices: list[Counter[str]] = [Counter() for _ in range(slices)]
        self._numbers = [-1] * slices  # which slice of all time stands there

    def add(self, time: float, word: str) -> None:
        """It happened once more; what is older than all slices is left out."""
        number = int(time // self._width)
        at = number % len(self._slices)
        if self._numbers[at] > number:
            return
        if self._numbers[at] < number:
            self._slices[at], self._numbers[at] = Counter(), number
        slice_ = self._slices[at]
        slice_[word if word in slice_ or len(slice_) < MOST_WORDS else OTHERS] += 1

    def total(self, now: float, *, whole: bool = False) -> Counter[str]:
        """How often each happened in the last slices; `whole`: without the one that is not over, for rates."""
        current = int(now // self._width)
        oldest = current - len(self._slices)
        found: Counter[str] = Counter()
        for number, counts in zip(self._numbers, self._slices, strict=True):
            if oldest < number <= current - whole:
                found.update(counts)
        return found
