"""A machine that plays managers, agents, users and time against the queue, in any order, and looks after every step.

It runs over one version of the queue or over several, which then have to answer the same.
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
from copilot.job import Cause, Event, EventKind, JobRecord, JobSpec, Outcome, Output, State
from copilot.matching.resources import Free
from copilot.store.base import Claimed, Dispatched, Held, Parking, Renewed, Settled, Store, Verdict
from copilot.store.shares import Share
from copilot.store.survey import Groups, Owners, Page
from copilot.store.usage import DAY, By, Sums

NUMBERS = st.integers(0, 4)
ATTEMPTS = st.integers(0, 4)
LIMITS = st.sampled_from([0.0, 0.3, 5.0])
OUTPUTS = st.sampled_from([None, Output(size=1, sha256="ab" * 32)])
CAUSES = st.sampled_from([Cause.CANCELLED, Cause.OK, Cause.USER_EXIT, Cause.INFRA_LOST, Cause.INFRA_STORE])
AGENTS = st.sampled_from("abc")
REQUIREMENTS = st.sampled_from(
    ["", "", "other.Memory >= 2000", "other.Cores > 2", "other.Memory < 2000", "other.FreeMemory > 9"]
)
SIZES = st.sampled_from(
    [
        {},
        {},
        {"cores": 2},
        {"max_cores": 8},
        {"cores": 4, "project": "p"},
        {"memory": 3 * 2**30, "tags": ("gold",)},
        {"gpus": 1},
    ]
)
FREE = st.sampled_from(
    [
        None,
        None,
        Free(cores=1, ahead=2),
        Free(cores=6, most=3, memory=4096),
        Free(cores=8, gpus=1, time=3),
        Free(cores=0, ahead=1),
    ]
)
HOSTS = st.sampled_from(
    [
        "",
        "[ Memory = 1000; Cores = 8 ]",
        '[ Requirements = other.Owner == "ann" || other.Cores > 1; Memory = 4000; Cores = 8; Gpus = 1 ]',
        "[ Memory = 4000; FreeMemory = 12 ]",
        "[ Cores = 4; FreeMemory = 1 ]",
    ]
)
RANKS = st.sampled_from(["", "", "other.Memory", "0 - other.Memory", "other.FreeMemory > 4"])
STATE_AFTER = {
    EventKind.SUBMITTED: State.WAITING,
    EventKind.HANDED_BACK: State.WAITING,
    EventKind.REQUEUED: State.WAITING,
    EventKind.CLAIMED: State.RUNNING,
    EventKind.RUNNING: State.RUNNING,
    EventKind.REVIVED: State.RUNNING,
    EventKind.CANCELLING: State.RUNNING,
    EventKind.HELD: State.HELD,
    EventKind.RELEASED: State.WAITING,
    EventKind.RETRIED: State.WAITING,
    EventKind.CANCELLED: State.CANCELLED,
    EventKind.DONE: State.DONE,
    EventKind.FAILED: State.FAILED,
}


class QueueMachine(RuleBasedStateMachine):
    """What the steps are, and what must hold after each of them."""

    def make_stores(self) -> list[Store]:
        """The versions to compare."""
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.stores = self.make_stores()
        self.now = 1_700_000_000.1
        self.specs: dict[str, JobSpec] = {}
        self.holders: dict[str, int] = {}  # the attempt that runs
        self.begun: dict[str, int] = {}  # the last attempt that was confirmed or renewed
        self.accepted: Counter[tuple[str, int]] = Counter()
        self.removed: set[str] = set()  # ids that were
        self.turns = itertools.cycle(State)  # whose page is looked at next

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            try:
                for by in By:
                    self.what_was_used_is_in_the_sums_once(by)
            finally:
                self.runner.close()

    def what_was_used_is_in_the_sums_once(self, by: By) -> None:
        """At the end, for all of it."""
        last, found = int(self.now // DAY), []
        for store in self.stores:
            days = [self.runner.run(store.usage(by, last - ago)) for ago in (0, 1)]
            found.append([{name: _rounded(sums) for name, sums in day.items()} for day in days])
        assert all(one == found[0] for one in found), found
        total = sum((sums for day in found[0] for sums in day.values()), Sums())
        claims = sum(self.ask("get", job).attempt for job in self.specs)
        assert self.removed or total.attempts <= claims
        assert total.attempts >= total.ok + total.cancelled
        assert min(total.ok, total.cancelled, total.handed_back, total.wall, total.cpu) >= 0

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
        return (
            tuple(map(_without_position, answer)) if isinstance(answer, tuple) else _without_position(answer)
        )

    # ------------------------------------------------------------ steps

    @rule(seconds=st.sampled_from([0.1, 0.2, 5.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        numbers=st.lists(NUMBERS, max_size=4),
        priority=st.integers(-1, 1),
        max_attempts=st.integers(1, 2),
        max_user_attempts=st.integers(1, 3),
        max_run_time=st.sampled_from([None, 0.3, 5.0]),
        exclusive=st.booleans(),
        requirements=REQUIREMENTS,
        rank=RANKS,
        owner=st.sampled_from(["", "ann", "bob"]),
        after=st.sampled_from([(), (), ("j0",), ("j1", "j2")]),
        after_any=st.sampled_from([(), (), ("j0",), ("j3",)]),
        size=SIZES,
    )
    def submit(
        self,
        numbers: list[int],
        after: tuple[str, ...],
        after_any: tuple[str, ...],
        size: dict[str, Any],
        **fields: Any,
    ) -> None:
        specs = {
            job: JobSpec(
                id=job,
                command="c",
                after=tuple(one for one in after if one != job),
                after_any=tuple(one for one in after_any if one != job),
                **fields,
                **size,
            )
            for job in (f"j{number}" for number in numbers)
        }
        answer = self.ask("submit", tuple(specs[f"j{number}"] for number in numbers), now=self.now)
        if any(self.specs.get(job, spec) != spec for job, spec in specs.items()):
            assert answer is not None
        elif _unknown_wishes(specs, self.specs):
            assert "is not known" in answer
        else:
            assert answer is None
            self.specs |= specs

    @rule(
        agent=AGENTS,
        request=st.sampled_from("xyz"),
        count=st.integers(1, 3),
        dispatch_limit=LIMITS,
        holder=st.sampled_from(["", "a/old", "b/old"]),
        lease=st.sampled_from([None, 0.2, 5.0]),
        host=HOSTS,
        park=st.sampled_from(
            [None, Parking(jid="a/1", features=("x", "y")), Parking(jid="a/2"), Parking(jid="b/1")]
        ),
        free=FREE,
    )
    def claim(self, **options: Any) -> None:
        before = dict(self.holders)
        waiting = self.ask("counts")[State.WAITING]
        given: tuple[Claimed, ...] = self.ask("claim", now=self.now, **options)
        new = [one for one in given if before.get(one.spec.id) != one.attempt]
        assert new in ([], list(given))  # a repetition gives old ones alone
        assert all(one.again == (not new) for one in given)
        assert len(new) <= min(options["count"], waiting)
        for one in new:
            assert one.spec.id not in self.holders
            assert one.lease == options["lease"]
            assert not (one.spec.exclusive and one.lease is None)
            self.holders[one.spec.id] = one.attempt

    @rule(
        whose=st.sampled_from(["owner:ann", "project:p"]),
        shares=st.integers(1, 3),
        jobs=st.sampled_from([None, None, 0, 2]),
        cores=st.sampled_from([None, 5]),
    )
    def set_share(self, whose: str, shares: int, jobs: int | None, cores: int | None) -> None:
        self.ask("set_share", Share(whose=whose, shares=shares, jobs=jobs, cores=cores))
        assert [one.shares for one in self.ask("shares", (whose,))] == [shares]

    @rule(limit=st.sampled_from([1, 2, 100]), dispatch_limit=LIMITS)
    def dispatch(self, limit: int, dispatch_limit: float) -> None:
        waiting = self.ask("counts")[State.WAITING]
        given: tuple[Dispatched, ...] = self.ask(
            "dispatch", limit=limit, dispatch_limit=dispatch_limit, now=self.now
        )
        assert len(given) <= min(limit, waiting)
        for one in given:
            assert one.claimed.spec.id not in self.holders
            assert not (one.claimed.spec.exclusive and one.claimed.lease is None)
            self.holders[one.claimed.spec.id] = one.claimed.attempt

    @rule(jid=st.sampled_from(["a/1", "a/2", "b/1"]), parked_for=st.sampled_from([0.0, 5.0]))
    def an_agent_is_gone(self, jid: str, parked_for: float) -> None:
        self.ask("unpark", jid, parked_for=parked_for, now=self.now)
        assert not self.ask("unpark", jid, parked_for=parked_for, now=self.now)

    @rule(
        agent=AGENTS,
        count=st.sampled_from([1, 3, 4]),
        cause=CAUSES,
        seconds=st.sampled_from([0.1, 20.0, 70.0]),
    )
    def one_agent_ends_jobs_alike(self, agent: str, count: int, cause: Cause, seconds: float) -> None:
        new = [JobSpec(id=f"b{self.now}-{number}", command="c", max_attempts=2) for number in range(count)]
        self.ask("submit", new, now=self.now)
        self.specs |= {spec.id: spec for spec in new}
        request = f"{len(self.ask('events', count=1000))}"
        given: tuple[Claimed, ...] = self.ask(
            "claim", agent=agent, request=request, dispatch_limit=60.0, count=count, now=self.now
        )
        self.now += seconds
        for one in given:
            self.ask("finish", one.spec.id, one.attempt, Outcome(cause=cause, exit_code=1), now=self.now)
            self.accepted[one.spec.id, one.attempt] += 1

    @rule(agent=AGENTS, times=st.integers(5, 8))
    def a_job_is_handed_back_again_and_again(self, agent: str, times: int) -> None:
        for number in range(times):
            options: dict[str, Any] = {"agent": agent, "request": f"{self.now} {number}", "now": self.now}
            for one in self.ask("claim", dispatch_limit=60.0, **options):
                cause = Cause.INFRA_UNDELIVERED
                assert self.ask("hand_back", one.spec.id, one.attempt, cause=cause, now=self.now)

    @rule(agent=AGENTS)
    def pardon(self, agent: str) -> None:
        known = agent in [one.agent for one in self.ask("trials")]
        assert self.ask("pardon", agent, reason="because", now=self.now) == known
        assert self.ask("quarantine", agent, now=self.now) == 0.0

    @rule(number=NUMBERS, attempt=ATTEMPTS, limit=LIMITS)
    def confirm(self, number: int, attempt: int, limit: float) -> None:
        answer = self.ask("confirm", f"j{number}", attempt, max_run_time=limit, now=self.now)
        assert answer == (self.holders.get(f"j{number}") == attempt)
        if answer:
            self.begun[f"j{number}"] = attempt

    @rule(agent=AGENTS, number=NUMBERS, attempt=ATTEMPTS)
    def renew(self, agent: str, number: int, attempt: int) -> None:
        job, held = f"j{number}", Held(job=f"j{number}", attempt=attempt, phase="run")
        before: JobRecord | None = self.ask("get", job)
        renewed: Renewed = self.ask("renew", agent, (held,), now=self.now)
        assert renewed.lost == (held,) or before is not None
        assert bool(renewed.revived) == (not renewed.lost and job not in self.holders)
        if not renewed.lost:  # it holds it now, whether it did before or not
            assert before is not None
            assert (before.attempt, before.agent) == (attempt, agent)
            assert not self.accepted[job, attempt]
            self.holders[job] = self.begun[job] = attempt

    @rule(holder=st.sampled_from(["a/old", "b/old"]))
    def suspect(self, holder: str) -> None:
        assert 0 <= self.ask("suspect", holder, now=self.now) <= len(self.holders)

    @rule(number=NUMBERS, attempt=ATTEMPTS)
    def hand_back(self, number: int, attempt: int) -> None:
        written: Event | None = self.ask(
            "hand_back", f"j{number}", attempt, cause=Cause.INFRA_UNDELIVERED, now=self.now
        )
        begun = self.begun.get(f"j{number}") == attempt
        assert (written is not None) == (self.holders.get(f"j{number}") == attempt and not begun)
        if written is not None:
            assert (written.job, written.attempt) == (f"j{number}", attempt)
            del self.holders[f"j{number}"]

    @rule(agent=st.sampled_from("ab"), number=NUMBERS, attempt=ATTEMPTS)
    def leave(self, agent: str, number: int, attempt: int) -> None:
        job, held = f"j{number}", Held(job=f"j{number}", attempt=attempt)
        before: JobRecord | None = self.ask("get", job)
        holds = self.holders.get(job) == attempt and before is not None and before.agent == agent
        written: tuple[Event, ...] = self.ask("leave", agent, (held,), now=self.now)
        assert [(one.job, one.attempt) for one in written] == ([(job, attempt)] if holds else [])
        if holds:
            del self.holders[job]
            assert self.ask("renew", agent, (held,), now=self.now) == Renewed(lost=(held,))

    @rule(agents=st.lists(st.sampled_from("abc"), max_size=2))
    def drain(self, agents: list[str]) -> None:
        self.ask("drain", agents, now=self.now)
        assert {*agents} <= {*self.ask("draining", now=self.now)}

    @rule(
        number=NUMBERS,
        attempt=ATTEMPTS,
        cause=CAUSES,
        output=OUTPUTS,
        package=st.sampled_from([None, "cGFja2Vk"]),
    )
    def finish(
        self, number: int, attempt: int, cause: Cause, output: Output | None, package: str | None
    ) -> None:
        job = f"j{number}"
        wall = None if number % 2 else 0.25 * attempt
        used: dict[str, Any] = {"cpu_time": 0.5, "memory": 9 - number, "wall_time": wall, "bytes_in": number}
        outcome = Outcome(cause=cause, exit_code=cause is not Cause.OK, output=output, **used)
        settled: Settled = self.ask("finish", job, attempt, outcome, package=package, now=self.now)
        if settled.record is not None:
            ended = settled.record.outcome
            kept = ended is not None and ended.output is not None
            assert self.ask("package", job) == (package if kept else None)
        assert (settled.verdict is Verdict.UNKNOWN) == (job not in self.specs)
        if self.holders.get(job) == attempt:
            assert settled.verdict is Verdict.ACCEPTED
        elif job in self.holders:
            assert settled.verdict is Verdict.STALE
        if settled.verdict is Verdict.ACCEPTED:
            self.holders.pop(job, None)
            self.accepted[job, attempt] += 1
        ends = [one for one in settled.events if one.kind not in (EventKind.QUARANTINED, EventKind.RUNNING)]
        told = [(one.job, one.attempt) for one in ends]
        assert told == ([(job, attempt)] if settled.verdict is Verdict.ACCEPTED else [])

    @rule(number=NUMBERS, verb=st.sampled_from(["cancel", "hold", "release", "retry"]))
    def operate(self, number: int, verb: str) -> None:
        self.ask(verb, f"j{number}", reason="because", now=self.now)

    @rule(number=NUMBERS)
    def publish(self, number: int) -> None:
        before: JobRecord | None = self.ask("get", f"j{number}")
        expected = before is not None and before.state.final and not before.published
        assert self.ask("publish", f"j{number}", now=self.now) == expected
        assert self.ask("package", f"j{number}") is None or not expected

    @rule(number=NUMBERS)
    def remove(self, number: int) -> None:
        job = f"j{number}"
        before: JobRecord | None = self.ask("get", job)
        awaited = {one.job for other in self.specs for one in self.ask("awaits", other)}
        goes = before is not None and before.published and job not in awaited
        assert self.ask("remove", job) == goes
        if goes:
            assert self.ask("get", job) is None
            assert self.ask("attempts", job) == ()
            del self.specs[job]
            self.begun.pop(job, None)
            self.removed.add(job)
            for key in [key for key in self.accepted if key[0] == job]:
                del self.accepted[key]

    @rule(limit=st.integers(1, 3), up_for=st.sampled_from([1.0, float("inf")]))
    def reap(self, limit: int, up_for: float) -> None:
        told: tuple[Event, ...] = self.ask("reap", limit=limit, up_for=up_for, now=self.now)
        for event in told:
            if event.kind is EventKind.QUARANTINED:
                assert self.ask("quarantine", event.agent, now=self.now) >= 60.0
                continue
            assert self.holders.pop(event.job) == event.attempt

    # ------------------------------------------------------------ what must hold

    @invariant()
    def every_job_is_in_exactly_one_place(self) -> None:
        if not hasattr(self, "stores"):
            return
        records: list[JobRecord] = [self.ask("get", job) for job in self.specs]
        states = Counter(record.state for record in records)
        assert self.ask("counts") == {state: states[state] for state in State}
        assert self.ask("waiting") <= states[State.WAITING]
        self.ask("trials")
        assert {one.spec.id: one.attempt for one in records if one.state is State.RUNNING} == self.holders
        expected = {one.spec.id for one in records if one.state.final and not one.published}
        assert {one.spec.id for one in self.ask("unpublished")} == expected
        for record in records:
            self._check(record)
            self.ask("attempts", record.spec.id)
        for one in self.ask("cancelling"):
            assert self.holders[one.job] == one.attempt
        for state in (State.DONE, State.FAILED, State.CANCELLED):
            over: tuple[JobRecord, ...] = self.ask("ended", state, self.now)
            expected = {one.spec.id for one in records if one.state is state and one.finished != self.now}
            assert {one.spec.id for one in over} == expected
            assert self.ask("ended", state, self.now, skip=1, limit=1) == over[1:2]

    def _check(self, record: JobRecord) -> None:
        assert 0 <= record.attempts_used <= min(record.attempt, record.spec.max_attempts)
        assert 0 <= record.user_failures <= min(record.attempt, record.spec.max_user_attempts)
        assert record.state.final == (record.finished is not None)
        assert not record.state.final or record.outcome is not None
        assert not record.published or record.state.final

    @invariant()
    def onlookers_see_every_job_once(self) -> None:
        if not hasattr(self, "stores"):
            return
        records: list[JobRecord] = [self.ask("get", job) for job in self.specs]
        waiting, running = (
            Counter(one.spec.owner for one in records if one.state in states)
            for states in ((State.WAITING, State.BLOCKED), (State.RUNNING,))
        )
        owners: Owners = self.ask("owners")
        assert {one.owner: (one.waiting, one.running) for one in owners.rows} == {
            owner: (waiting[owner], running[owner]) for owner in waiting + running
        }
        assert owners.total == len(owners.rows)
        state = next(self.turns)  # one each time: this is done after every step
        page: Page = self.ask("page", state, limit=1000)
        assert sorted(line.job for line in page.rows) == sorted(
            one.spec.id for one in records if one.state is state
        )
        assert page.total == len(page.rows)
        assert all(line.owner == self.specs[line.job].owner for line in page.rows)
        groups: Groups = self.ask("groups")
        assert sum(one.waiting for one in groups.rows) == self.ask("waiting")
        for name in ("ann", "bob"):
            runs = [one for one in records if one.state is State.RUNNING and one.spec.owner == name]
            (share,) = self.ask("shares", (f"owner:{name}",))
            assert (share.running, share.used) == (len(runs), sum(one.cores for one in runs))
        for store in self.stores:
            held = self.runner.run(store.holders()).rows
            assert {one.job: one.attempt for one in held} == self.holders

    @invariant()
    def the_events_tell_the_same_story(self) -> None:
        if not hasattr(self, "stores"):
            return
        last: dict[str, State] = {}
        for event in self.ask("events", count=1000):
            if not event.job:  # it tells of an agent
                continue
            if event.kind is EventKind.SUBMITTED:
                assert event.job not in last or event.job in self.removed
            else:
                assert event.job in last
            last[event.job] = STATE_AFTER.get(event.kind, last.get(event.job, State.WAITING))
        assert set(last) == {*self.specs, *self.removed}
        for job in self.specs:
            state = self.ask("get", job).state
            assert last[job] == (State.WAITING if state is State.BLOCKED else state)
            waits = self.ask("awaits", job)
            assert bool(waits) == (state is State.BLOCKED) or state in (State.HELD, State.CANCELLED)
            assert not any(one.until.is_so(one.state) for one in waits)

    @invariant()
    def no_attempt_is_accepted_twice(self) -> None:
        assert not hasattr(self, "stores") or all(number == 1 for number in self.accepted.values())


def _rounded(sums: Sums) -> Sums:
    """Redis keeps microseconds."""
    return replace(sums, wall=round(sums.wall, 3), cpu=round(sums.cpu, 3), cores=round(sums.cores, 3))


def _unknown_wishes(specs: dict[str, JobSpec], known: dict[str, JobSpec]) -> bool:
    """Whether a new one of these waits for a job that is neither known nor before it."""
    earlier = set(known)
    for job, spec in specs.items():
        if job not in known and not {*spec.after, *spec.after_any} <= earlier:
            return True
        earlier.add(job)
    return False


def _without_position(answer: Any) -> Any:
    """Where something stands in the stream differs from version to version."""
    if isinstance(answer, Event):
        return replace(answer, id="")
    if isinstance(answer, Settled):
        events = tuple(map(_without_position, answer.events))
        return replace(answer, record=_without_position(answer.record), events=events)
    return replace(answer, first_event="") if isinstance(answer, JobRecord) else answer
