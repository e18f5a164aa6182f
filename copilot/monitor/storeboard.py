"""The board over a store: what the dashboard shows, asked from the queue as seldom as it may be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

from copilot.clock import Clock
from copilot.errors import BadName, CopilotError
from copilot.job import State, check_job_id
from copilot.monitor.board import (
    MOST_ROWS,
    SHOWN,
    AgentPage,
    Board,
    ComponentRow,
    GroupRow,
    History,
    JobPage,
    JobRow,
    JobView,
    Now,
    OwnerRow,
    Why,
)
from copilot.monitor.fleet import FleetView, look_at_fleet
from copilot.monitor.history import Series
from copilot.monitor.holdings import Holdings
from copilot.monitor.slots import Slots
from copilot.monitor.story import story_of
from copilot.monitor.volumes import volumes
from copilot.monitor.watch import RATES_OVER, Watch
from copilot.store.base import Store
from copilot.store.survey import Groups, Load, Owners

T = TypeVar("T")

FRESH = 1.0  # s for which an answer is good enough for the next one who asks
SAMPLE = 1.0  # s between two looks at the counts, whether somebody asks or not
SHARE = 1 / 20  # of the time at most goes into asking for one part of the front page
SHARE_OF_OLDEST = 1 / 50  # into looking for the oldest job, whose age grows by itself
SHARE_OF_SAMPLES = 1 / 200  # into counting while nobody asks
LONGEST_REST = 30.0  # s between two looks, however long they take
SLOW_WITHIN = 0.5  # s to wait for what is read in parts; the next page has it if it takes longer
ANSWER_WITHIN = 5.0  # s; the page says that the store is away when it does not answer
LONGEST_NAME = 500  # characters of an owner or of requirements on the front page

_log = logging.getLogger("copilot.dashboard")


class StoreBoard(Board):
    """What the store says, at most a second old; `run` has to run beside. Belongs to one event loop."""

    def __init__(
        self,
        store: Store,
        *,
        components: Callable[[float], Sequence[ComponentRow]] = lambda _: (),
        clock: Clock,
        version: str,
        explain: Callable[[str], Awaitable[Why]] | None = None,
    ) -> None:
        """`components` says at a time (since the epoch) who has reported lately, `explain` why the job of an id is where it is: one at a
        time is asked for, however many look."""
        self._explain = explain
        self._explaining = asyncio.Lock()
        self._store = store
        self._components = components
        self._clock = clock
        self._version = version
        self._series = Series()
        self._watch = Watch(store, clock, self._series)
        self._up: bool | None = None  # whether the store answers; None: nobody has asked yet
        no_jobs: Mapping[State, int] = dict.fromkeys(State, 0)
        self._counts = Kept[Mapping[State, int]](clock, store.counts, no_jobs)
        self._groups = Kept(clock, lambda: store.groups(SHOWN), Groups(total=0, rows=()))
        self._owners = Kept(clock, lambda: store.owners(SHOWN), Owners(total=0, rows=()))
        self._load = Kept(clock, store.load, Load(used=0, limit=0, unpublished=0))
        self._slots = Slots()
        self._fleet = Kept(clock, self._look_at_fleet, FleetView(Holdings(), (), (), {}))
        self._oldest = Kept[float | None](clock, self._look_for_oldest, None, share=SHARE_OF_OLDEST)
        self._slow: asyncio.Task[None] | None = None
        self._now: Now | None = None
        self._asked = float("-inf")
        self._asking = asyncio.Lock()

    async def run(self) -> None:
        """Follow the queue until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch.run())
                group.create_task(self._sample())
        finally:
            if self._slow is not None:
                self._slow.cancel()
                await asyncio.wait([self._slow])

    async def _sample(self) -> None:
        while True:
            try:
                async with asyncio.timeout(ANSWER_WITHIN):
                    counts = await self._counts.get()
            except (CopilotError, TimeoutError) as error:
                _log.debug("counts: %s", error)
            else:
                now = self._clock.wall()
                waits = self._watch.waits(now, None)
                levels = {
                    state.value: float(counts[state]) for state in (State.WAITING, State.RUNNING, State.HELD)
                }
                self._series.put(now, {**levels, "wait_p50": waits.p50, "wait_p90": waits.p90})
            # A time series wants its samples at regular times; a slow store gets them more seldom.
            await asyncio.sleep(max(SAMPLE, self._counts.took / SHARE_OF_SAMPLES))

    async def now(self) -> Now:
        """The front page: see `Board.now`. Never raises for what the store may do."""
        async with self._asking:
            if self._now is None or self._clock.monotonic() - self._asked >= FRESH:
                await self._refresh()
                self._now = self._show(self._clock.wall())
                self._asked = self._clock.monotonic()
            return self._now

    async def _refresh(self) -> None:
        if self._slow is None or self._slow.done():
            self._slow = asyncio.create_task(self._refresh_slow_parts())
        quick = (self._counts, self._groups, self._owners, self._load)
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                await asyncio.gather(*(part.get() for part in quick))  # together, so they tell of one moment
        except (CopilotError, TimeoutError) as error:
            if self._up is not False:
                _log.warning("the dashboard shows old figures: %s", error)
            self._up = False
        else:
            self._up = True
            await asyncio.wait([self._slow], timeout=SLOW_WITHIN)

    async def _refresh_slow_parts(self) -> None:
        for part in (self._fleet, self._oldest):
            try:
                await part.get()
            except CopilotError as error:
                _log.debug("fleet and queues: %s", error)

    def _show(self, now: float) -> Now:
        groups, owners, load = self._groups.last, self._owners.last, self._load.last
        oldest, components = self._oldest.last, self._components(now)
        return Now(
            time=now,
            store_up=bool(self._up),
            version=self._version,
            jobs=self._counts.last,
            rates=self._watch.rates(now),
            rates_over=float(RATES_OVER),
            waits=self._watch.waits(now, None if oldest is None else max(0.0, now - oldest)),
            failures=self._watch.failures(now),
            fleet=self._fleet.last.totals(now),
            groups=tuple(
                GroupRow(
                    requirements=one.requirements[:LONGEST_NAME],
                    waiting=one.waiting,
                    oldest=max(0.0, now - one.oldest),
                )
                for one in groups.rows
            ),
            groups_total=groups.total,
            owners=tuple(
                OwnerRow(owner=one.owner[:LONGEST_NAME], waiting=one.waiting, running=one.running)
                for one in owners.rows
            ),
            owners_total=owners.total,
            components=tuple(components[:SHOWN]),
            components_total=len(components),
            storage=volumes(components, load),
            unpublished=load.unpublished,
            newest=tuple(self._watch.newest),
        )

    async def _look_at_fleet(self) -> FleetView:
        return await look_at_fleet(self._store, self._watch.holdings, self._slots, self._clock.monotonic())

    async def _look_for_oldest(self) -> float | None:
        """When the oldest job in a queue was submitted; each group has to be looked at, so in parts."""
        found, place = list[float](), ""
        while True:
            part = await self._store.oldest(place)
            found += [] if part.submitted is None else [part.submitted]
            if not (place := part.next):
                return min(found, default=None)

    def history(self, span: float) -> History:
        """Time series: see `Board.history`."""
        return self._series.read(span, self._clock.wall())

    async def agents(self, *, after: str = "", search: str = "", limit: int = 50) -> AgentPage:
        """Agents by name: see `Board.agents`."""
        fleet = await self._fleet.get()
        return await fleet.page(self._store, self._clock.wall(), after=after, search=search, limit=limit)

    async def jobs(self, state: State, *, after: str = "", limit: int = 50) -> JobPage:
        """Jobs in a state: see `Board.jobs`."""
        if not 1 <= limit <= MOST_ROWS:
            raise ValueError(f"limit {limit}: expected 1 to {MOST_ROWS}")
        page = await self._store.page(state, after=after, limit=limit)
        rows = tuple(
            JobRow(
                job=one.job,
                owner=one.owner[:LONGEST_NAME],
                state=one.state,
                attempt=one.attempt,
                agent=one.agent,
                since=one.since,
                cause=one.cause,
            )
            for one in page.rows
        )
        return JobPage(state=state, total=page.total, rows=rows, next=page.next)

    async def job(self, job: str) -> JobView | None:
        """One job: see `Board.job`."""
        try:
            check_job_id(job, submitted=True)
        except BadName:
            return None
        record = await self._store.get(job)
        if record is None:
            return None
        attempts = await self._store.attempts(job)
        ending = await self._store.cancelling(limit=1000) if record.state is State.RUNNING else ()
        return JobView(
            record=record,
            attempts=attempts,
            events=await story_of(self._store, record, attempts),
            cancelling=any((one.job, one.attempt) == (job, record.attempt) for one in ending),
            why=await self._why(job),
        )

    async def _why(self, job: str) -> Why | None:
        """Nothing while somebody else is told: the page asks again in a moment."""
        if self._explain is None or self._explaining.locked():
            return None
        async with self._explaining:
            return await self._explain(job)


class Kept(Generic[T]):
    """An answer of the store that is kept for a moment: for longer if it takes long, so that asking never takes more than
    a `share` of the time. Who asks while it is on its way waits for the same one."""

    def __init__(
        self, clock: Clock, ask: Callable[[], Awaitable[T]], empty: T, *, share: float = SHARE
    ) -> None:
        self.last = empty
        self._share = share
        self.took = 0.0  # s, the last answer
        self._clock = clock
        self._ask = ask
        self._came = float("-inf")
        self._asking = asyncio.Lock()

    async def get(self) -> T:
        """The last answer if it is fresh, else a new one. Raises what the store raises."""
        async with self._asking:
            began = self._clock.monotonic()
            if began - self._came >= min(self.took / self._share, LONGEST_REST):
                self.last = await self._ask()
                self._came = self._clock.monotonic()
                self.took = self._came - began
            return self.last
