"""How often something happened lately, by words: a ring of slices, each with a count of the words that came in it."""

from __future__ import annotations

from collections import Counter

from copilot.monitor.wheel import Wheel

# In one slice: causes and kinds are few, but what an old program writes is not ours to choose.
MOST_WORDS = 100
OTHERS = "others"


class Tallies:
    """Counts over the last `slices` times `width` seconds."""

    def __init__(self, width: float, slices: int) -> None:
        self._wheel = Wheel(width, slices, self._clear)
        self._slices: list[Counter[str]] = [Counter() for _ in range(slices)]

    def _clear(self, at: int) -> None:
        self._slices[at] = Counter()

    def add(self, time: float, word: str) -> None:
        """It happened once more; what is older than all slices is left out."""
        at = self._wheel.place(time)
        if at is not None:
            counts = self._slices[at]
            counts[word if word in counts or len(counts) < MOST_WORDS else OTHERS] += 1

    def total(self, now: float, *, whole: bool = False) -> Counter[str]:
        """How often each happened in the last slices; `whole`: without the one that is not over, for rates."""
        found: Counter[str] = Counter()
        for at in self._wheel.kept(now, last=self._wheel.number(now) - whole):
            found.update(self._slices[at])
        return found
