"""What a program has transferred since its start, in plain numbers: as a client, and as the file server."""

from __future__ import annotations

from collections import Counter
from dataclasses import field

from copilot.histogram import SPANS, Histograms
from copilot.records import dataclass

FETCH, STORE = "fetch", "store"
Way = tuple[str, str]  # scheme (`http` for HTTPS, too) and direction
METHODS = ("GET", "PUT")
OTHER, ABORTED = "other", "aborted"


@dataclass(slots=True)
class TransferCounts:
    """Of a client: whole files, by scheme and direction."""

    seconds: Histograms[Way] = field(default_factory=lambda: Histograms(SPANS))
    """Of transfers that came to their end."""
    volume: Counter[Way] = field(default_factory=Counter)  # bytes in these
    failures: Counter[Way] = field(default_factory=Counter)

    def ended(self, way: Way, seconds: float, size: int) -> None:
        """A file was transferred."""
        self.seconds[way].observe(seconds)
        self.volume[way] += size


@dataclass(slots=True)
class ServerCounts:
    """Of the file server. A method is `GET`, `PUT` or `other`, a status its class, as `2xx`, or `aborted`."""

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)  # by method and status
    seconds: Histograms[str] = field(default_factory=lambda: Histograms(SPANS))  # by method
    received: int = 0  # bytes of bodies, of broken ones, too
    sent: int = 0  # bytes of files that were sent to their end

    def ended(self, method: str, status: int | None, seconds: float) -> None:
        """The last byte of an answer is on its way; without `status` the peer did not wait for it."""
        word = method if method in METHODS else OTHER
        self.requests[word, ABORTED if status is None else f"{status // 100}xx"] += 1
        self.seconds[word].observe(seconds)
