"""Who has which job: events and looks together are exact, in whatever order they come."""

from __future__ import annotations

import itertools

from copilot.job import Cause, Event, EventKind, JobSpec, Outcome
from copilot.monitor.holdings import LOOK_EVERY, Holding, Holdings
from copilot.store.base import Store
from copilot.store.memory import MemoryStore
from copilot.store.survey import Part, Work

A, B = "a@x", "b@x"
NUMBERS = itertools.count(1)


def event(kind: EventKind, job: str, agent: str = A, attempt: int = 1) -> Event:
    return Event(id=f"{next(NUMBERS)}-0", time=1.0, job=job, kind=kind, agent=agent, attempt=attempt)


def work(job: str, agent: str = A, attempt: int = 1) -> Work:
    return Work(job=job, attempt=attempt, agent=agent, claimed=1.0, phase="")


class Slow(MemoryStore):
    """A store whose look at running jobs finds `parts`, while `meanwhile` happens after the first of them."""

    def __init__(self, holdings: Holdings, parts: list[list[Work]], meanwhile: list[Event]) -> None:
        super().__init__()
        self.looks = 0
        self._holdings, self._parts, self._meanwhile = holdings, parts, meanwhile

    async def holders(self, after: str = "", count: int = 1000) -> Part[Work]:
        self.looks += 1
        number = int(after or 0)
        if number:
            for one in self._meanwhile:
                self._holdings.take(one)
        return Part(rows=self._parts[number], next=str(number + 1) if number + 1 < len(self._parts) else "")


def test_events_tell_who_has_a_job() -> None:
    holdings = Holdings()
    holdings.take(event(EventKind.CLAIMED, "1"))
    holdings.take(event(EventKind.CLAIMED, "2", B))
    holdings.take(event(EventKind.RUNNING, "2", B))
    assert holdings.jobs == {"1": Holding(A, 1), "2": Holding(B, 1)}
    holdings.take(event(EventKind.HANDED_BACK, "1"))
    holdings.take(event(EventKind.DONE, "2", B))
    assert holdings.jobs == {}
    holdings.take(event(EventKind.REVIVED, "1"))
    holdings.take(event(EventKind.CANCELLING, "1"))
    assert holdings.jobs == {"1": Holding(A, 1)}


async def test_what_events_tell_during_a_look_goes_before_what_it_finds() -> None:
    holdings = Holdings()
    for job in ("gone", "stays", "ends"):
        holdings.take(event(EventKind.CLAIMED, job))
    meanwhile = [
        event(EventKind.DONE, "ends"),
        event(EventKind.CLAIMED, "new", B),
        event(EventKind.CLAIMED, "moved", B, 2),
    ]
    store = Slow(
        holdings, [[work("ends"), work("stays"), work("old"), work("moved")], [work("late")]], meanwhile
    )
    await holdings.look(store, 100.0)
    assert holdings.jobs == {
        "stays": Holding(A, 1), "old": Holding(A, 1), "late": Holding(A, 1), "new": Holding(B, 1), "moved": Holding(B, 2),
    }  # fmt: skip


async def test_it_looks_seldom_unless_there_is_doubt() -> None:
    holdings = Holdings()
    store = Slow(holdings, [[work("1")]], [])
    for now, looks in ((100.0, 1), (100.0 + LOOK_EVERY - 1, 1), (100.0 + LOOK_EVERY, 2)):
        await holdings.look(store, now)
        assert store.looks == looks
    holdings.doubt()
    await holdings.look(store, 100.0 + LOOK_EVERY)
    assert store.looks == 3


async def test_the_events_of_a_queue_leave_just_what_runs() -> None:
    store: Store = MemoryStore()
    await store.submit([JobSpec(id=f"j{number}", command="c") for number in range(9)], now=1.0)
    given = await store.claim(agent=A, request="1", dispatch_limit=5, count=8, lease=9.0, now=1.0)
    for one, cause in zip(given, (Cause.OK, Cause.USER_EXIT, Cause.INFRA_LOST), strict=False):
        await store.finish(one.spec.id, 1, Outcome(cause=cause, exit_code=1), now=2.0)
    await store.hand_back("j3", 1, cause=Cause.INFRA_UNDELIVERED, now=2.0)
    await store.hold("j3", now=2.0)
    await store.cancel("j4", now=2.0)
    await store.reap(now=50.0)
    await store.claim(agent=B, request="2", dispatch_limit=5, count=2, now=51.0)
    holdings = Holdings()
    for one_event in await store.events(count=1000):
        holdings.take(one_event)
    assert (
        holdings.jobs
        == {one.job: Holding(one.agent, one.attempt) for one in (await store.holders()).rows}
        != {}
    )
