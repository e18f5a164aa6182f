"""What a campaign is to be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How large a campaign is. `spacing`: seconds between two faults, on the average."""

    seed: int
    server: str
    jobs: int
    faults: int
    agents: int
    managers: int
    spacing: float
