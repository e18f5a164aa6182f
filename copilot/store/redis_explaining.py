"""Why a job does not run, as Redis tells it: see `copilot.store.explaining`."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from copilot.job import State
from copilot.matching.rank import requirements_to_show
from copilot.matching.resources import Free
from copilot.store.codec import trial_from_line
from copilot.store.explaining import (
    MOST_EVENTS,
    MOST_GROUPS,
    MOST_MACHINES,
    PACE_OVER,
    Before,
    Circumstances,
    Explaining,
    Machine,
    Machines,
    Pace,
    check_groups,
    check_limit,
)

SCRIPTS = frozenset({"machines", "circumstances"})  # none of them writes
_unsaid = lru_cache(maxsize=64)(Free.unsaid)  # mostly the same for all
_FREE = frozenset({"cores", "ahead", "most", "gpus", "memory", "disk"})


class RedisExplaining(Explaining, abc.ABC):
    """Part of `RedisSurvey`."""

    @abc.abstractmethod
    async def _run(self, name: str, now: float | None, *arguments: str | float | bytes) -> Any:
        """Run a script."""

    @abc.abstractmethod
    async def _hosts_of(self, jids: Sequence[str]) -> Sequence[str | None]:
        """What these agents have said of their hosts."""

    async def machines(self, limit: int = MOST_MACHINES, *, now: float | None = None) -> Machines:
        """Who was there lately: see `Explaining.machines`."""
        time, total, parts = await self._run("machines", now, check_limit(limit))
        jids = [jid for part in parts for jid in part[0][::2]]
        hosts = iter(await self._hosts_of(jids) if jids else ())
        rows = [row for part in parts for row in _machines(part, hosts, float(time))]
        return Machines(now=float(time), total=total, rows=rows)

    async def circumstances(
        self, job: str, *, groups: int = MOST_GROUPS, now: float | None = None
    ) -> Circumstances | None:
        """How a job stands: see `Explaining.circumstances`."""
        found = await self._run("circumstances", now, job, check_groups(groups), MOST_EVENTS, PACE_OVER)
        return _circumstances(found) if found else None


def _machines(part: Sequence[Any], hosts: Iterator[str | None], now: float) -> Iterator[Machine]:
    """Those of one part, as the script has it."""
    asked_last, *columns, out = part
    no_jobs = frozenset(out)
    rows = zip(asked_last[::2], asked_last[1::2], *columns, strict=True)
    for number, (jid, asked, parked, entry, renewed, trial, leaves) in enumerate(rows):
        agent = jid.partition("/")[0]
        words = (entry or "").split(" ")
        known = trial_from_line(agent, trial) if trial else None
        slots = int(words[1]) if len(words) > 2 and words[1].isdigit() else 0
        yield Machine(
            jid=jid,
            agent=agent,
            asked=float(asked),
            parked=_number(parked),
            renewed=_number(renewed),
            slots=slots,
            free=_free(words[6] if len(words) > 6 else "", slots, now) if parked else None,
            leased=words[2] != "-" if len(words) > 2 else None,
            host=next(hosts) or "",
            quarantine=known.ends if known is not None and known.ends > now else 0.0,
            probation=known is not None and known.level > 0,
            leaves=leaves is not None and float(leaves) > now,
            out=number in no_jobs,
        )


def _circumstances(values: Sequence[Any]) -> Circumstances:
    """What the script returns, in its order."""
    now, state, delayed, held, deadline, cancelling, lease, confirmed, phase, suspected, *rest = values
    places, struck, place, more, others, started, of_group, seconds, passed = rest
    _, since, until, whose = passed.split(" ", 3) if passed else ("", "", "", "")
    return Circumstances(
        now=float(now),
        state=State(state),
        delayed=_number(delayed),
        held=_number(held),
        deadline=_number(deadline),
        cancelling=_number(cancelling),
        lease=_number(lease),
        confirmed=_number(confirmed),
        phase=phase,
        suspected=bool(suspected),
        failed_at=tuple(places.split()),
        struck=_number(struck),
        place=None if place == "" else int(place),
        more=int(more),
        before=tuple(
            Before(requirements=requirements_to_show(text), jobs=int(jobs))
            for text, jobs in zip(others[::2], others[1::2], strict=True)
        ),
        passed_over=_number(since),
        reserved=whose if whose and float(until) > float(now) else "",
        pace=Pace(started=int(started), group=int(of_group), seconds=float(seconds)),
    )


def _free(text: str, slots: int, now: float) -> Free:
    """What an agent has free, as its entry of `parking` keeps it; `till` there is a time."""
    if not text.startswith("free="):
        return _unsaid(slots)
    said = {name: float(value) for name, _, value in (word.partition("=") for word in text[5:].split(","))}
    whole = {name: int(value) for name, value in said.items() if name in _FREE}
    till = said.get("till")
    return Free(**({"cores": 0} | whole), time=None if till is None else max(0, int(till - now)))


def _number(text: str | None) -> float | None:
    return float(text) if text else None
