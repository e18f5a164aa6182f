"""What the loop of one component has handled since its start, in plain numbers: for metrics, and for tests that count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import field

from copilot.errors import StoreUnavailable, TransferError
from copilot.histogram import MOMENTS, Histograms
from copilot.protocol.events import Received
from copilot.records import dataclass

STORE, FILES, MISTAKE = "store", "files", "mistake"  # why something could not be handled
NOT_HANDLED = (STORE, FILES, MISTAKE)


@dataclass(slots=True)
class LoopCounts:
    """Filled by the loop."""

    handling: Histograms[str] = field(default_factory=lambda: Histograms(MOMENTS))
    """Seconds from the arrival of a command until what it led to was handed to the transport, by command."""
    failures: Counter[str] = field(default_factory=Counter)  # of what could not be handled, by why
    at_work: Callable[[], int] = int
    """How many events wait for the component, or are being handled by a coroutine of it, now."""
    effects: Callable[[], int] = int  # how many effects are being carried out now

    def handled(self, messages: Iterable[Received], now: float) -> None:
        """What these have led to is on its way."""
        for message in messages:
            self.handling[message.command.NAME].observe(now - message.at)

    def failed(self, error: Exception) -> None:
        """Something could not be handled."""
        if isinstance(error, StoreUnavailable):
            self.failures[STORE] += 1
        else:
            self.failures[FILES if isinstance(error, TransferError) else MISTAKE] += 1
