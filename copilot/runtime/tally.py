"""What an operator is told, now and then, of messages that had no effect.

Each is logged when it happens, but the same kind from the same sender only once in a while. Here are the numbers.
"""

from __future__ import annotations

from collections import Counter

from copilot.protocol.endpoint import Counts

EVERY = 600.0  # s between two lines


class Tally:
    """The numbers of an endpoint since they were last told."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._told = Counts()
        self._since: float | None = None  # there has been something to tell from then on

    def due(self, now: float) -> float | None:
        """When to tell; None while there is nothing."""
        if self._since is None and self._total(self._counts) != self._total(self._told):
            self._since = now
        return None if self._since is None else self._since + EVERY

    def tell(self) -> str:
        """What is new, as `dropped 3 not-trusted, 1 bad-value; refused 2 claim-refused`; empty for nothing."""
        new = {
            "dropped": self._counts.dropped - self._told.dropped,
            "refused": self._counts.refused - self._told.refused,
        }
        self._told = Counts(dropped=self._counts.dropped.copy(), refused=self._counts.refused.copy())
        self._since = None
        return "; ".join(f"{word} {_listed(count)}" for word, count in new.items() if count)

    @staticmethod
    def _total(counts: Counts) -> int:
        return counts.dropped.total() + counts.refused.total()


def _listed(count: Counter[str]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in count.most_common())
