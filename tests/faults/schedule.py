"""One seed, one schedule: which fault, on whom, when and for how long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from tests.faults.kinds import Kind

TOGETHER = 0.25  # the share of faults that come at the same moment as the one before


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`at` in seconds since the campaign began, `seconds`: how long it lasts."""

    at: float
    kind: Kind
    target: str
    seconds: float

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.at:7.1f} s  {self.kind.name}: {self.target}{lasting}"


def schedule(
    random: Random, kinds: Sequence[Kind], targets: Iterable[str], spacing: float
) -> Iterator[Fault]:
    """Faults without end, one each `spacing` seconds on the average. Each kind comes once before any comes again."""
    names, at, deck = sorted(targets), 0.0, list[Kind]()
    while True:
        deck = deck or random.sample(kinds, len(kinds))
        kind = deck.pop()
        at += 0.0 if random.random() < TOGETHER else random.uniform(0, 2 * spacing / (1 - TOGETHER))
        hit = [name for name in names if name.startswith(kind.targets)]
        seconds = random.uniform(kind.shortest, kind.longest)
        yield Fault(at=at, kind=kind, target=random.choice(hit), seconds=seconds)
