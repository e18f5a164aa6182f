"""How the queue and its agents fare as a whole: a bounded number of looks, however many jobs and agents there are."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from copilot.job import EventKind, State
from copilot.records import dataclass
from copilot.store.base import Store
from copilot.store.controls import Pause
from copilot.store.survey import Group, Owner

PACE_OVER = 300.0  # s back
PAGE = 1000
MOST_EVENTS = 5000  # that are read for the pace
MOST_LOOKS = 60  # for the oldest job: a hundred groups each
ROWS = 10  # groups and owners, those with the most jobs
_COUNTED = {
    EventKind.SUBMITTED: "submitted",
    EventKind.CLAIMED: "started",
    EventKind.DONE: "done",
    EventKind.FAILED: "failed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """`pace`: what happened a minute, over the last `seconds`. `oldest`: when the job that waits longest was submitted (seconds
    since the epoch, as `now`). `online`: agents that were heard lately, `idle` of them."""

    now: float
    counts: Mapping[State, int]
    paused: tuple[Pause, ...]
    groups: tuple[Group, ...]
    all_groups: int
    owners: tuple[Owner, ...]
    all_owners: int
    oldest: float | None
    pace: Mapping[str, float]
    seconds: float
    online: int
    idle: int
    quarantined: int

    def facts(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "now": self.now,
            "jobs": {state.value: number for state, number in self.counts.items()},
            "paused": [one.facts() for one in self.paused],
            "groups": {
                "total": self.all_groups,
                "largest": [
                    {
                        "requirements": one.requirements,
                        "rank": one.rank,
                        "owner": one.owner,
                        "project": one.project,
                        "waiting": one.waiting,
                        "oldest": one.oldest,
                    }
                    for one in self.groups
                ],
            },
            "owners": {
                "total": self.all_owners,
                "largest": [
                    {"owner": one.owner, "waiting": one.waiting, "running": one.running}
                    for one in self.owners
                ],
            },
            "oldest": self.oldest,
            "per_minute": dict(self.pace),
            "over_seconds": self.seconds,
            "agents": {"online": self.online, "idle": self.idle, "quarantined": self.quarantined},
        }


async def overview(store: Store) -> Overview:
    """Raises as the methods of `Store`."""
    counts, paused = await store.counts(), await store.paused()
    groups, owners = await store.groups(ROWS), await store.owners(ROWS)
    machines = await store.machines()
    now = machines.now
    pace, seconds = await _pace(store, time.time())
    online = {one.agent: False for one in machines.rows if one.online(now)}
    for one in machines.rows:
        if one.parked is not None:
            online[one.agent] = True
    out = {one.agent for one in machines.rows if one.quarantine > now}
    out |= {one.agent for one in await store.asides()}
    return Overview(
        now=now,
        counts=counts,
        paused=paused,
        groups=groups.rows,
        all_groups=groups.total,
        owners=owners.rows,
        all_owners=owners.total,
        oldest=await _oldest(store),
        pace=pace,
        seconds=seconds,
        online=len(online),
        idle=sum(online.values()),
        quarantined=len(out),
    )


async def _oldest(store: Store) -> float | None:
    found, place = list[float](), ""
    for _ in range(MOST_LOOKS):
        part = await store.oldest(place)
        if part.submitted is not None:
            found.append(part.submitted)
        if not (place := part.next):
            break
    return min(found, default=None)


async def _pace(store: Store, now: float) -> tuple[dict[str, float], float]:
    """What happened a minute lately, and over how many seconds that was seen. Where more happened than is read, it is seen over less."""
    counts, after, read = Counter[str](), f"{int((now - PACE_OVER) * 1000)}-0", 0
    seconds = PACE_OVER
    while read < MOST_EVENTS:
        events = await store.events(after=after, count=PAGE)
        counts.update(_COUNTED[event.kind] for event in events if event.kind in _COUNTED)
        read += len(events)
        if len(events) < PAGE:
            break
        after = events[-1].id
        seconds = max(1.0, events[-1].time - (now - PACE_OVER))
    else:
        return {name: 60 * counts[name] / seconds for name in _COUNTED.values()}, seconds
    return {name: 60 * counts[name] / PACE_OVER for name in _COUNTED.values()}, PACE_OVER
