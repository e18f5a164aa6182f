"""What onlookers ask, in Redis: see `copilot.store.survey`."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from copilot.job import Event, State, split_element
from copilot.matching.host import slots_of
from copilot.matching.rank import requirements_to_show
from copilot.store import codec, redis_explaining, rules
from copilot.store.arrays import is_about
from copilot.store.places import check_head, read_place
from copilot.store.survey import (
    Group,
    Groups,
    Idle,
    Line,
    Load,
    Oldest,
    Owner,
    Owners,
    Page,
    Part,
    Records,
    Survey,
    Told,
    Work,
)

BEGIN = "0"  # of a scan, and its end
# None of them writes.
SCRIPTS = (
    frozenset({"groups", "oldest", "owners", "holders", "idle", "page", "records", "work"})
    | redis_explaining.SCRIPTS
)


class RedisSurvey(redis_explaining.RedisExplaining, Survey, abc.ABC):
    """Part of `RedisStore`."""

    @abc.abstractmethod
    async def _run(self, name: str, now: float | None, *arguments: str | float | bytes) -> Any:
        """Run a script."""

    @abc.abstractmethod
    async def _fill(self) -> tuple[int, int, int]:
        """Bytes in use and to be used, and how many results wait for their finisher."""

    @abc.abstractmethod
    async def _hosts_of(self, jids: Sequence[str]) -> Sequence[str | None]:
        """What these agents have said of their hosts."""

    @abc.abstractmethod
    async def _entries(self, after: str, count: int) -> Sequence[tuple[str, Mapping[str, str]]]:
        """Entries of the event stream: ids and fields."""

    async def groups(self, limit: int = 20) -> Groups:
        """The largest requirement groups: see `Survey.groups`."""
        total, rows = await self._run("groups", None, rules.check_count("limit", limit))
        found = (
            Group(
                requirements=requirements_to_show(requirements),
                waiting=waiting,
                oldest=float(submitted),
                name=name,
                owner=owner,
                project=project,
                rank=rank,
            )
            for name, requirements, waiting, submitted, owner, project, rank in rows_of(7, rows)
        )
        return Groups(total=total, rows=tuple(found))

    async def oldest(self, after: str = "", count: int = 100) -> Oldest:
        """The oldest job of some groups: see `Survey.oldest`."""
        place = check_head(after)
        submitted, end = await self._run("oldest", None, place, rules.check_count("count", count))
        return Oldest(submitted=float(submitted) if submitted else None, next=end)

    async def owners(self, limit: int = 20) -> Owners:
        """The owners with the most jobs: see `Survey.owners`."""
        total, rows = await self._run("owners", None, rules.check_count("limit", limit))
        found = ((owner, int(jobs), int(running)) for owner, jobs, running in rows_of(3, rows))
        return Owners(
            total=total,
            rows=tuple(
                Owner(owner=owner, waiting=jobs - running, running=running) for owner, jobs, running in found
            ),
        )

    async def holders(self, after: str = "", count: int = 1000) -> Part[Work]:
        """Running attempts: see `Survey.holders`."""
        place = rules.check_scan(after) or BEGIN
        end, rows = await self._run("holders", None, place, rules.check_count("count", count))
        return Part(rows=_work(rows), next="" if end == BEGIN else end)

    async def work(self, jobs: Sequence[str]) -> tuple[Work, ...]:
        """Those of these jobs that run: see `Survey.work`."""
        rules.check_jobs(jobs)
        return _work(await self._run("work", None, *jobs))

    async def idle(self, after: str = "", count: int = 1000, *, now: float | None = None) -> Part[Idle]:
        """Parked agents: see `Survey.idle`."""
        place = rules.check_scan(after) or BEGIN
        end, time, found, entries = await self._run("idle", now, place, rules.check_count("count", count))
        oldest = float(time) - rules.PARKED_FOR
        rows = [
            Idle(jid=jid, agent=words[0], slots=int(words[1]), since=float(since))
            for jid, since, entry in zip(found[::2], found[1::2], entries, strict=True)
            if entry and float(since) > oldest and len(words := entry.split(" ", 2)) == 3
        ]
        return Part(rows=rows, next="" if end == BEGIN else end)

    async def declared(self, jids: Sequence[str]) -> tuple[int, ...]:
        """Slots of agents: see `Survey.declared`."""
        rules.check_agents(jids)
        return tuple(slots_of(jdl or "") for jdl in await self._hosts_of(jids))

    async def page(self, state: State, *, after: str = "", limit: int = 50, whole: bool = False) -> Page:
        """Jobs in a state: see `Survey.page`."""
        rules.check_count("limit", limit)
        place = read_place(state, after)
        asked = (state.value, place.skip, limit, place.time, place.job, "1" if whole else "")
        total, flat, *ends = await self._run("page", None, *asked)
        rows = list(rows_of(7, flat))
        lines = tuple(
            Line(
                job=job,
                owner=owner,
                state=state,
                attempt=int(attempt),
                agent=agent,
                since=float(since),
                cause=cause,
            )
            for job, owner, attempt, agent, since, cause, _ in rows
        )
        last = f"{rows[-1][6]}:{rows[-1][0]}" if rows else ""
        behind = ends[0] if whole and ends else place.after(len(rows), limit, last)
        return Page(total=total, rows=lines, next=behind)

    async def told(self, job: str, *, after: str = "0", count: int = 1000) -> Told:
        """What is told of a job: see `Survey.told`."""
        rules.check_count("count", count)
        entries = await self._entries(rules.check_entry(after), count)
        names = {job, (split_element(job) or (job,))[0]}  # an array tells of its elements, too
        found = (codec.event_from_fields(ident, one) for ident, one in entries if one["job"] in names)
        events = (event for event in found if is_about(event, job))
        return Told(looked_at=len(entries), last=entries[-1][0] if entries else "", events=tuple(events))

    async def records(
        self,
        after: str = "",
        count: int = 1000,
        *,
        states: Sequence[State] = (),
        owner: str | None = None,
        words: Sequence[str] = (),
    ) -> Records:
        """Records of jobs: see `Survey.records`."""
        place = rules.check_scan(after) or BEGIN
        size = rules.check_count("count", count)
        owned = ("", "") if owner is None else (owner, "1")
        named = " ".join(state.value for state in states)
        end, looked_at, found = await self._run("records", None, place, size, named, *owned, *words)
        rows = (dict(zip(flat[::2], flat[1::2], strict=True)) for flat in found)
        return Records(
            looked_at=looked_at,
            rows=tuple(
                codec.array_from_fields(one).record if "size" in one else codec.record_from_fields(one)
                for one in rows
            ),
            next="" if end == BEGIN else end,
        )

    async def load(self) -> Load:
        """How full Redis is: see `Survey.load`."""
        used, limit, unpublished = await self._fill()
        return Load(used=used, limit=limit, unpublished=unpublished)


def event_from_list(flat: Sequence[str]) -> Event:
    """An event as a script returns it: its id, then the values of its fields."""
    ident, *values = flat
    names = ("time", "job", "kind", "attempt", "agent", "cause", "text")
    return codec.event_from_fields(ident, dict(zip(names, values, strict=True)))


def _work(flat: Sequence[str]) -> tuple[Work, ...]:
    return tuple(
        Work(
            job=job,
            attempt=int(attempt),
            agent=agent,
            claimed=float(claimed),
            phase=phase,
            cores=int(cores or 1),
        )
        for job, attempt, agent, claimed, phase, cores in rows_of(6, flat)
    )


def rows_of(size: int, flat: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """The rows of a list in which the values of all rows stand one behind the other."""
    return zip(*(flat[start::size] for start in range(size)), strict=True)
