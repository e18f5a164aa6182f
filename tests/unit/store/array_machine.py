"""A machine that plays with arrays: an array has to behave as its elements would, submitted one by one (decision 21).

In memory each element is a job from the begin, in Redis it is part of a range until an agent gets it. So both versions answering the
same is what is to be shown; what else must hold is looked after here.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from copilot.errors import JobExists, UnknownJob
from copilot.job import Cause, Event, JobSpec, Outcome, State
from copilot.store.arrays import ArrayRecord, Slice, Wish
from copilot.store.base import Store
from copilot.store.survey import Line, Page
from tests.unit.store import machine

NAMES = ("a", "b", "j", "a.1", "a.7", "b.0")
ARRAYS = ("a", "b")
SIZES = {"a": 7, "b": 3}
INDEXES = st.integers(0, 7)
CAUSES = st.sampled_from([Cause.OK, Cause.OK, Cause.USER_EXIT, Cause.INFRA_LOST])
WISHES = st.sampled_from(Wish)
STATES = st.sampled_from([(), (), (State.WAITING,), (State.HELD, State.RUNNING), (State.CANCELLED,)])


class ArrayMachine(RuleBasedStateMachine):
    """What the steps are, and what must hold after each of them."""

    def make_stores(self) -> list[Store]:
        """The versions to compare."""
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.stores = self.make_stores()
        self.now = 1_700_000_000.1
        self.running: dict[str, int] = {}
        self.requests = itertools.count()
        self.turns = itertools.cycle(State)
        self.ask("submit", [JobSpec(id="a", command="c", array=SIZES["a"], owner="ann")], now=self.now)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.close()

    def ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Ask all versions; return their common answer."""
        answers = [self._ask_one(store, method, *arguments, **options) for store in self.stores]
        assert all(answer == answers[0] for answer in answers), (method, arguments, options, answers)
        return answers[0]

    def _ask_one(self, store: Store, method: str, *arguments: Any, **options: Any) -> Any:
        try:
            answer = self.runner.run(getattr(store, method)(*arguments, **options))
        except (JobExists, UnknownJob) as error:
            return str(error)
        if isinstance(answer, tuple):
            return tuple(map(without_position, answer))
        return without_position(answer)

    # ------------------------------------------------------------ steps

    @rule(
        names=st.lists(st.sampled_from(NAMES), max_size=2),
        priority=st.integers(0, 1),
        owner=st.sampled_from(["ann", "bob"]),
        requirements=st.sampled_from(["", "", "other.Memory >= 2000"]),
        exclusive=st.booleans(),
        after=st.sampled_from([(), (), (), ("j",), ("a",), ("b.1",)]),
        any_end=st.booleans(),
    )
    def submit(self, names: list[str], after: tuple[str, ...], *, any_end: bool, **fields: Any) -> None:
        specs = []
        for name in names:
            waits = tuple(one for one in after if one != name)
            kind = {"after_any" if any_end else "after": waits}
            specs.append(
                JobSpec(id=name, command="c", array=SIZES.get(name, 0), max_attempts=2, **kind, **fields)
            )
        self.ask("submit", specs, now=self.now)

    @rule(seconds=st.sampled_from([0.1, 0.5, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(count=st.integers(1, 4), leased=st.booleans(), agent=st.sampled_from("xy"))
    def claim(self, count: int, agent: str, *, leased: bool) -> None:
        given = self.ask(
            "claim",
            agent=agent,
            request=f"r{next(self.requests)}",
            dispatch_limit=60.0,
            count=count,
            lease=5.0 if leased else None,
            host="[ Memory = 4000 ]",
            now=self.now,
        )
        for one in given:
            assert one.spec.id not in self.running
            assert not one.spec.is_array
            self.running[one.spec.id] = one.attempt

    @rule(place=INDEXES, cause=CAUSES)
    def finish(self, place: int, cause: Cause) -> None:
        if self.running:
            job = sorted(self.running)[place % len(self.running)]
            outcome = Outcome(cause=cause, exit_code=int(cause is not Cause.OK))
            self.ask("finish", job, self.running.pop(job), outcome, now=self.now)

    @rule(place=INDEXES)
    def hand_back(self, place: int) -> None:
        if self.running:
            job = sorted(self.running)[place % len(self.running)]
            self.ask("hand_back", job, self.running.pop(job), cause=Cause.INFRA_UNDELIVERED, now=self.now)

    @rule(
        array=st.sampled_from([*ARRAYS, "j"]),
        begin=INDEXES,
        end=INDEXES,
        step=st.integers(1, 3),
        wish=WISHES,
        states=STATES,
    )
    def operate_slice(
        self, array: str, begin: int, end: int, step: int, wish: Wish, states: tuple[State, ...]
    ) -> None:
        part = Slice(begin=min(begin, end), end=max(begin, end), step=step)
        self.ask("operate_slice", array, part, wish, reason="because", states=states, now=self.now)

    @rule(name=st.sampled_from(NAMES), index=INDEXES, wish=WISHES, element=st.booleans())
    def operate(self, name: str, index: int, wish: Wish, *, element: bool) -> None:
        self.ask(wish.value, f"{name}.{index}" if element else name, reason="because", now=self.now)

    @rule(name=st.sampled_from(NAMES), index=INDEXES, element=st.booleans(), forget=st.booleans())
    def publish(self, name: str, index: int, *, element: bool, forget: bool) -> None:
        job = f"{name}.{index}" if element else name
        self.ask("publish", job, now=self.now)
        if forget:
            self.ask("remove", job)

    @rule()
    def publish_all(self) -> None:
        for record in self.ask("unpublished"):
            self.ask("publish", record.spec.id, now=self.now)

    @rule()
    def remove_all_that_is_over(self) -> None:
        for state in (State.DONE, State.FAILED, State.CANCELLED):
            for record in self.ask("ended", state, self.now):
                self.ask("remove", record.spec.id)

    @rule()
    def reap(self) -> None:
        told: tuple[Event, ...] = self.ask("reap", now=self.now)
        for event in told:
            self.running.pop(event.job, None)

    # ------------------------------------------------------------ what must hold

    @invariant()
    def both_say_the_same(self) -> None:
        if not hasattr(self, "stores"):
            return
        states = Counter[State]()
        for name in NAMES:
            array: ArrayRecord | None = self.ask("array", name)
            record = self.ask("get", name)
            assert (array is not None) == (record is not None and record.spec.is_array)
            self.ask("awaits", name)
            if array is not None:
                states += Counter(self._look_at(name, array))
            elif record is not None and record.spec.index is None:
                states[record.state] += 1
        counts = self.ask("counts")
        assert counts == {state: states[state] for state in State}
        assert self.ask("waiting") <= counts[State.WAITING]
        self.ask("owners")
        groups = self.ask("groups")
        assert sum(one.waiting for one in groups.rows) == self.ask("waiting")

    def _look_at(self, name: str, array: ArrayRecord) -> list[State]:
        """The states of the elements that are not forgotten."""
        records = [self.ask("get", f"{name}.{index}") for index in range(SIZES[name])]
        found = [record for record in records if record is not None]
        assert len(found) + array.removed == SIZES[name] == sum(array.counts.values())
        assert array.unpublished == sum(one.state.final and not one.published for one in found)
        if not array.removed:
            assert Counter(one.state for one in found) == Counter(+Counter(array.counts))
        return [record.state for record in found]

    def _rows(self, store: Store, state: State, *, limit: int) -> list[list[Line]]:
        """Pages on which an array is one row."""
        pages: list[list[Line]] = []
        page: Page | None = None
        while page is None or page.next:
            after = "" if page is None else page.next
            page = self.runner.run(store.page(state, after=after, limit=limit, whole=True))
            pages.append(list(page.rows))
        return pages

    def _pages(self, store: Store, state: State, *, limit: int) -> list[Line]:
        rows: list[Line] = []
        page: Page = self.runner.run(store.page(state, limit=limit))
        while True:
            rows += page.rows
            if not page.next:
                assert page.total == len(rows)
                return rows
            page = self.runner.run(store.page(state, after=page.next, limit=limit))

    @invariant()
    def lists_show_each_element(self) -> None:
        if not hasattr(self, "stores"):
            return
        state = next(self.turns)
        pages = [self._pages(store, state, limit=1000) for store in self.stores]
        every = pages[0]
        assert all(lines == every for lines in pages)
        for store in self.stores:  # in parts it is the same
            assert self._pages(store, state, limit=2) == every
        rows = [self._rows(store, state, limit=1000) for store in self.stores]
        arrays = [name for name in ARRAYS if self.ask("array", name) is not None]
        elements = {f"{name}.{index}": name for name in arrays for index in range(SIZES[name])}
        families = [elements.get(one.job, "") for one in every]
        assert all(one == rows[0] for one in rows)
        assert rows[0] == [
            [
                one
                for at, (one, family) in enumerate(zip(every, families, strict=True))
                if not family or families.index(family) == at
            ]
        ]
        in_parts = [self._rows(store, state, limit=1) for store in self.stores]
        assert all(one == in_parts[0] for one in in_parts)
        assert {one.job for one in rows[0][0]} <= {one.job for page in in_parts[0] for one in page}
        if state.final:
            ended = self.ask("ended", state, self.now + 1)
            assert {one.spec.id for one in ended} == {one.job for one in every}
            assert self.ask("ended", state, self.now + 1, skip=1, limit=2) == ended[1:3]
        elif every:
            self.ask("circumstances", every[-1].job, now=self.now)
            self.ask("circumstances", every[len(every) // 2].job, now=self.now)
        self.ask("events", count=1000)


def without_position(answer: Any) -> Any:
    """The id of an event differs from one version to the other."""
    return (
        replace(answer, first_event="")
        if isinstance(answer, ArrayRecord)
        else machine._without_position(answer)
    )
