"""A board in memory, and a world to show on it: thousands of agents, a million waiting jobs, all made up."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

from copilot.errors import StoreUnavailable
from copilot.job import (
    Attempt,
    Cause,
    Event,
    EventKind,
    InputFile,
    JobRecord,
    JobSpec,
    Outcome,
    Output,
    State,
)
from copilot.monitor.board import (
    SHOWN,
    AgentPage,
    AgentRow,
    ComponentRow,
    Fleet,
    GroupRow,
    HeldRow,
    History,
    JobPage,
    JobRow,
    JobView,
    Now,
    OwnerRow,
    Rates,
    Volume,
    Waits,
    Why,
)

AGENTS = 4000
WAITING = 1_000_000
SLOTS = 4
STEPS = 300
GIB = 2**30
MEMORY = "TARGET.Memory >= 8192"
GROUPS = {
    "": 612_480,
    MEMORY: 201_337,
    f'{MEMORY} && TARGET.OpSys == "LINUX"': 98_112,
    "TARGET.HasCVMFS": 61_008,
    'TARGET.GPUs >= 1 && versionGE(TARGET.CUDA, "12.2") && TARGET.HasSingularity': 21_004,
    "TARGET.Cpus >= 16": 6_059,
}
OWNERS = {
    "atlas-production": (540_311, 6_120),
    "theory/test4theory": (301_870, 3_011),
    "cms-mc": (120_664, 1_404),
    "alice": (37_155, 388),
    "": (0, 41),
}
TAIL = """\x1b[33mWARNING\x1b[0m: random seed taken from the environment: 4711
initialising Pythia 8.3 … done in 1.2 s
event 1000 of 20000    12.1 events/s
event 2000 of 20000    12.3 events/s
Traceback (most recent call last):
  File "generate.py", line 212, in <module>
    main(sys.argv[1:])
  File "generate.py", line 187, in main
    tree.fill(event)
OSError: [Errno 28] No space left on device: '/tmp/rivet/histograms.yoda'
"""


class MemoryBoard:
    """A `Board` that shows what it is given. `up`: whether its store answers."""

    def __init__(self, front: Now, *, agents: tuple[AgentRow, ...] = (), clock: Callable[[], float]) -> None:
        self.front = front
        self.agent_rows = tuple(sorted(agents, key=lambda row: row.agent))
        self.views: dict[str, JobView] = {}
        self.up = True
        self.asked = 0  # how often `now` was
        self._clock = clock

    async def now(self) -> Now:
        self.asked += 1
        if not self.up:
            return replace(self.front, store_up=False)
        return replace(self.front, time=self._clock())

    def history(self, span: float) -> History:
        return history(self.front, self._clock(), span)

    async def agents(self, *, after: str = "", search: str = "", limit: int = 50) -> AgentPage:
        self._check()
        found = [row for row in self.agent_rows if search in row.agent]
        rows = [row for row in found if row.agent > after]
        more = len(rows) > limit
        return AgentPage(
            total=len(found), rows=tuple(rows[:limit]), next=rows[limit - 1].agent if more else ""
        )

    async def jobs(self, state: State, *, after: str = "", limit: int = 50) -> JobPage:
        self._check()
        total = self.front.jobs.get(state, 0)
        start = int(after or 0)
        end = min(total, start + limit)
        rows = tuple(self._row(state, number) for number in range(start, end))
        return JobPage(state=state, total=total, rows=rows, next=str(end) if end < total else "")

    async def job(self, job: str) -> JobView | None:
        self._check()
        return self.views.get(job)

    def _check(self) -> None:
        if not self.up:
            raise StoreUnavailable("Redis at localhost:6379 does not answer")

    def _row(self, state: State, number: int) -> JobRow:
        named = [view.record for view in self.views.values() if view.record.state is state]
        if number < len(named):
            record = named[number]
            return JobRow(
                job=record.spec.id,
                owner=record.spec.owner,
                state=state,
                attempt=record.attempt,
                agent=record.agent or "",
                since=record.finished or record.claimed or record.submitted,
                cause=record.outcome.cause if record.outcome else "",
            )
        apart = state not in (State.WAITING, State.HELD, State.BLOCKED)
        return JobRow(
            job=f"{state}-{number:07d}",
            owner=tuple(OWNERS)[number % 4],
            state=state,
            attempt=int(apart),
            agent=agent_name(number % AGENTS) if apart else "",
            since=self._clock() - 3 - number * 0.7,
            cause={State.DONE: "ok", State.FAILED: "user-exit"}.get(state, ""),
        )


def agent_name(number: int) -> str:
    site = ("cern", "bnl", "in2p3", "kit", "volunteer")[number % 5]
    return f"agent-{site}-{number:04d}@pilots.example.org"


def empty(time: float) -> Now:
    """A system that was started just now."""
    return Now(time=time, store_up=True, version="0.1.0", jobs=dict.fromkeys(State, 0))


def board(clock: Callable[[], float], *, agents: int = AGENTS, waiting: int = WAITING) -> MemoryBoard:
    """A busy system; always the same but for the time."""
    dice = random.Random(4711)
    time = clock()
    rows = tuple(_agent(number, time, dice) for number in range(agents))
    board = MemoryBoard(_front(time, rows, waiting, dice), agents=rows, clock=clock)
    for view in _views(time):
        board.views[view.record.spec.id] = view
    return board


def _agent(number: int, time: float, dice: random.Random) -> AgentRow:
    quarantine = 0.0 if number % 401 else 612.0
    jobs = 0 if quarantine or number % 17 == 3 else SLOTS - (number % 23 == 5)
    held = tuple(
        HeldRow(
            job=f"running-{number * SLOTS + slot:07d}",
            attempt=1,
            phase=dice.choices(("", "fetch", "run", "upload"), (1, 2, 40, 2))[0],
            claimed=time - dice.uniform(1, 7000),
        )
        for slot in range(jobs)
    )
    return AgentRow(
        agent=agent_name(number),
        slots=SLOTS,
        jobs=jobs,
        held=held,
        idle_since=None if jobs else time - dice.uniform(1, 400),
        quarantine=quarantine,
    )


def _front(time: float, rows: tuple[AgentRow, ...], waiting: int, dice: random.Random) -> Now:
    busy = sum(row.jobs > 0 for row in rows)
    running = sum(row.jobs for row in rows)
    part = waiting / WAITING
    groups = [(text, round(number * part)) for text, number in GROUPS.items()]
    groups[0] = ("", waiting - sum(number for _, number in groups[1:]))
    return Now(
        time=time,
        store_up=True,
        version="0.1.0",
        jobs={
            State.WAITING: waiting,
            State.RUNNING: running,
            State.HELD: 1204,
            State.BLOCKED: 87,
            State.DONE: 3_482_117,
            State.FAILED: 2618,
            State.CANCELLED: 310,
        },
        rates=Rates(submitted=61.4, claimed=48.2, done=47.9, failed=0.3, requeued=0.02),
        waits=Waits(p50=212.0, p90=1804.0, p99=4021.0, longest=7311.0, claims=28_910, oldest=8123.0),
        failures={
            "user-exit": 143,
            "infra-lost": 61,
            "user-validation": 20,
            "infra-fetch": 12,
            "infra-disk-full": 4,
        },
        fleet=Fleet(
            online=len(rows),
            busy=busy,
            idle=len(rows) - busy,
            quarantined=sum(row.quarantine > 0 for row in rows),
            slots=sum(row.slots for row in rows),
            slots_busy=running,
        ),
        groups=tuple(
            GroupRow(requirements=text, waiting=number, oldest=8123.0 - 900 * place)
            for place, (text, number) in enumerate(groups)
        ),
        groups_total=143,
        owners=tuple(
            OwnerRow(owner=owner, waiting=round(queued * part), running=claimed)
            for owner, (queued, claimed) in OWNERS.items()
        ),
        owners_total=len(OWNERS),
        components=tuple(_components(time, dice)),
        components_total=5,
        storage=(
            Volume(name="memory", of="Redis", used=round(3.1 * GIB), available=round(4.9 * GIB)),
            Volume(name="/data", of="storagemanager.generic.one", used=1830 * GIB, available=170 * GIB),
            Volume(name="/", of="jobmanager.generic.alpha", used=31 * GIB, available=81 * GIB),
        ),
        unpublished=17,
        newest=tuple(_event(time, place, dice) for place in range(SHOWN)),
    )


def _components(time: float, dice: random.Random) -> list[ComponentRow]:
    names = (
        "jobmanager.generic.alpha",
        "jobmanager.generic.beta",
        "storagemanager.generic.one",
        "storagemanager.generic.e48b-42d9-25af-ecf4",
        "monitor",
    )
    rows = []
    for place, name in enumerate(names):
        silent = place == 3
        values = {
            "system.load.1min": round(dice.uniform(0.1, 3), 2),
            "system.load.5min": round(dice.uniform(0.1, 3), 2),
            "system.load.15min": round(dice.uniform(0.1, 3), 2),
            "system.ram.used.mem": float(dice.randrange(1500, 7000)),
            "system.ram.available.mem": float(dice.randrange(2000, 25000)),
            "system.net.in.eth0": round(dice.uniform(0.1, 40), 1),
            "system.net.out.eth0": round(dice.uniform(0.1, 40), 1),
            "system.disk.used.sda1": 31_744.0,
        }
        counts = {"job.succeeded": 3_482_117 // (place + 1), "job.failed": 2618 // (place + 1)}
        heard = time - (842 if silent else dice.uniform(1, 55))
        rows.append(ComponentRow(name=name, heard=heard, silent=silent, values=values, counts=counts))
    return rows


def _event(time: float, place: int, dice: random.Random) -> Event:
    kind = dice.choices(
        (EventKind.CLAIMED, EventKind.DONE, EventKind.SUBMITTED, EventKind.FAILED, EventKind.REQUEUED),
        (10, 9, 8, 2, 1),
    )[0]
    return Event(
        id=f"{round(time * 1000) - place * 17}-0",
        time=time - place * 0.4,
        job=f"run-2026-11-28-{dice.randrange(1_000_000):06d}",
        kind=kind,
        attempt=int(kind is not EventKind.SUBMITTED),
        agent="" if kind is EventKind.SUBMITTED else agent_name(dice.randrange(AGENTS)),
        cause={EventKind.FAILED: "user-exit", EventKind.REQUEUED: "infra-lost"}.get(kind, ""),
        text={EventKind.FAILED: "exit code 3"}.get(kind, ""),
    )


def history(front: Now, time: float, span: float) -> History:
    """Curves that end in what is now."""
    step = max(1.0, span / STEPS)
    dice = random.Random(7)
    count = round(span / step)
    end = math.floor(time / step) * step
    times = tuple(end - (count - 1 - place) * step for place in range(count))

    def curve(last: float, depth: float, turns: float, noise: float) -> tuple[float | None, ...]:
        shape = [
            1 + depth * math.sin(turns * (place / count - 1) * 2 * math.pi) + dice.gauss(0, noise)
            for place in range(count)
        ]
        return tuple(None if place < 9 else max(0.0, last * value) for place, value in enumerate(shape))

    def whole(values: tuple[float | None, ...]) -> tuple[float | None, ...]:
        return tuple(None if value is None else float(round(value)) for value in values)

    jobs, rates, waits = front.jobs, front.rates, front.waits
    return History(
        step=step,
        times=times,
        series={
            "waiting": whole(curve(jobs[State.WAITING], 0.22, 1.2, 0.002)),
            "running": whole(curve(jobs[State.RUNNING], 0.05, 3, 0.004)),
            "held": whole(curve(jobs[State.HELD], 0.3, 1, 0.001)),
            "submitted": curve(rates.submitted, 0.3, 2.3, 0.08),
            "done": curve(rates.done, 0.08, 3, 0.04),
            "failed": curve(rates.failed, 0.9, 2, 0.3),
            "wait_p50": curve(waits.p50 or 0, 0.3, 1.4, 0.02),
            "wait_p90": curve(waits.p90 or 0, 0.25, 1.4, 0.02),
        },
    )


def view(
    job: str,
    time: float,
    *,
    state: State = State.FAILED,
    owner: str = "theory/test4theory",
    reason: str = "exit code 1",
    tail: str = TAIL,
) -> JobView:
    """A job that was lost once and then failed by itself."""
    first, second = agent_name(12), agent_name(801)
    outcome = Outcome(
        cause=Cause.USER_EXIT,
        exit_code=1,
        reason=reason,
        host="wn-0801.pilots.example.org",
        output=Output(size=1_482_113, sha256="0" * 64),
        tail=tail,
    )
    spec = JobSpec(
        id=job,
        command="generate.sh",
        arguments="--seed 4711 --events 20000",
        environment="TOKEN=not-to-be-shown",
        owner=owner,
        requirements=MEMORY,
        priority=5,
        packages=("VO_ALICE@AliRoot::v5",),
        inputs=(InputFile(name="generate.sh", size=4711, sha256="1" * 64),),
        max_run_time=7200.0,
    )
    story = [
        (7200.0, EventKind.SUBMITTED, 0, "", "", ""),
        (6700.0, EventKind.CLAIMED, 1, first, "", ""),
        (6699.0, EventKind.RUNNING, 1, first, "", ""),
        (4200.0, EventKind.REQUEUED, 1, first, "infra-lost", "its lease ran out"),
        (4100.0, EventKind.CLAIMED, 2, second, "", ""),
        (4099.0, EventKind.RUNNING, 2, second, "", ""),
        (310.0, EventKind.FAILED, 2, second, "user-exit", reason),
        (309.0, EventKind.PUBLISHED, 2, "", "", ""),
    ]
    return JobView(
        why=Why(
            code="failed", text="failed: <b>its command</b> ended with exit code 3", next="mend the command"
        ),
        record=JobRecord(
            spec=spec,
            state=state,
            attempt=2,
            attempts_used=2,
            agent=second,
            submitted=time - 7200,
            first_event="1-0",
            claimed=time - 4100,
            finished=time - 310,
            outcome=outcome,
            published=True,
        ),
        attempts=(
            Attempt(
                attempt=1,
                agent=first,
                claimed=time - 6700,
                ended=time - 4200,
                kind=EventKind.REQUEUED,
                cause=Cause.INFRA_LOST,
                outcome=None,
            ),
            Attempt(
                attempt=2,
                agent=second,
                claimed=time - 4100,
                ended=time - 310,
                kind=EventKind.FAILED,
                cause=Cause.USER_EXIT,
                outcome=outcome,
            ),
        ),
        events=tuple(
            Event(
                id=f"{place}-0",
                time=time - ago,
                job=job,
                kind=kind,
                attempt=attempt,
                agent=agent,
                cause=cause,
                text=text,
            )
            for place, (ago, kind, attempt, agent, cause, text) in enumerate(story, 1)
        ),
    )


def _views(time: float) -> list[JobView]:
    return [view("run-2026-11-28-004213", time)]
