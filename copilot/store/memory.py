"""The queue in this process's memory: for tests, simulations and trying things out; gone when the process ends.

Same behaviour as the Redis version, step for step: the contract suite and a comparison of both hold it to that.
No method waits for anything but `events` with `block`, so each is one step for everybody in the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import math
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from copilot.clock import Clock, SystemClock
from copilot.job import Attempt, Cause, Event, EventKind, JobRecord, JobSpec, Outcome, Phase, State
from copilot.matching.groups import group_of, is_plain, who_of
from copilot.matching.host import bounded
from copilot.matching.resources import Free
from copilot.store import rules, trial
from copilot.store.arrays import Slice, Wish
from copilot.store.audit import audited
from copilot.store.base import (
    Changed,
    Claimed,
    Dispatched,
    Facts,
    Held,
    Parking,
    Renewed,
    Running,
    Settled,
    Store,
    Verdict,
)
from copilot.store.controls import Gate
from copilot.store.memory_accounts import AccountTables, MemoryAccounts
from copilot.store.memory_arrays import entry_name, first_clash, is_untouched
from copilot.store.memory_audit import AuditTables, MemoryAudit, with_entry
from copilot.store.memory_blocking import MemoryBlocking
from copilot.store.memory_controls import ControlTables, MemoryControls
from copilot.store.memory_dispatch import Dispatching
from copilot.store.memory_explaining import Presence
from copilot.store.memory_queue import MemoryQueue
from copilot.store.memory_reach import MemoryReach
from copilot.store.memory_rows import Asker, Job, ParkedAgent, Request
from copilot.store.memory_survey import MemorySurvey
from copilot.store.memory_usage import MemoryUsage
from copilot.store.memory_watched import MemoryWatched, Watch
from copilot.store.reach import Reach
from copilot.store.trial import Failure, Trial, Trials
from copilot.store.usage import By, Sums
from copilot.store.watched import Stream

_SYSTEM_CLOCK = SystemClock()
_OF_QUEUE = (State.WAITING, State.BLOCKED, State.RUNNING)
_END_STATES = {Cause.OK: State.DONE, Cause.CANCELLED: State.CANCELLED}


@audited(with_entry)
class MemoryStore(
    MemoryQueue,
    MemoryBlocking,
    MemorySurvey,
    MemoryAccounts,
    MemoryControls,
    MemoryUsage,
    MemoryReach,
    MemoryWatched,
    MemoryAudit,
    Store,
):
    """The queue in memory. `round_trips` counts the calls, as if each went to a server."""

    def __init__(self, clock: Clock = _SYSTEM_CLOCK) -> None:
        """`clock` is asked where a call brings no `now`."""
        super().__init__()
        self.round_trips = 0
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._hosts: dict[str, tuple[float, str]] = {}  # what agents that are parked said of theirs, and when
        self._presence = Presence()
        self._delayed: dict[str, float] = {}  # until when, by waiting job
        self._trials = Trials()
        self._people = AccountTables()
        self._controls = ControlTables()
        self._audit = AuditTables()
        self._running: set[str] = set()
        self._cancelling: dict[str, None] = {}  # in the order of time
        self._packages: dict[str, str] = {}  # outputs that came with reports, until they are published
        self._parked: dict[str, ParkedAgent] = {}  # by full JID, in the order of time
        self._hint = asyncio.Event()
        self._hints: set[str] = set()
        self._reach: dict[str, tuple[float, Reach]] = {}
        self._watches: dict[tuple[Stream, str], Watch] = {}
        self._due: dict[tuple[Stream, str], float] = {}
        self._draining: dict[str, float] = {}  # until when the wish stands, by agent
        self._unpublished: set[str] = set()
        self._counts: Counter[State] = Counter()
        self._on_queue: Counter[str] = Counter()  # jobs that wait or run, by owner
        self._requests: dict[tuple[str, str], Request] = {}
        self._held: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
        self._attempts: defaultdict[str, deque[Attempt]] = defaultdict(
            lambda: deque(maxlen=rules.ATTEMPTS_KEPT)
        )
        self._events: deque[Event] = deque(maxlen=rules.EVENTS_KEPT)
        self._last_event = 0
        self._usage: dict[tuple[By, int], dict[str, Sums]] = {}
        self._news = asyncio.Event()

    async def check(self) -> Facts:
        """Always fit for use, never durable."""
        self.round_trips += 1
        return Facts(
            server="memory", warnings=("jobs are kept in this process alone and are gone when it ends",)
        )

    async def take_over(self) -> None:
        """There is no other version here."""
        self.round_trips += 1

    async def submit(
        self, specs: Sequence[JobSpec], *, most: int | None = None, now: float | None = None
    ) -> None:
        """Put at most 1000 jobs on the queue, all or none: see `Store.submit`.

        Raises also `ValueError` for more, and for numbers out of range.
        """
        batch = rules.check_batch(specs)
        time = self._begin(now)
        known = {job: self._known_text(spec) for job, (spec, _) in batch.items()}
        for job, (spec, text) in batch.items():
            taken = self._in_the_way(spec) if known[job] is None else None
            if taken is not None or known[job] not in (None, text):
                raise rules.job_exists(taken or job)
        new = [spec for job, (spec, _) in batch.items() if known[job] is None]
        if (clash := first_clash(new)) is not None:
            raise rules.job_exists(clash)
        if (unknown := self._unknown_wish(new)) is not None:
            raise (rules.element_wish if self._family_of(unknown[1]) else rules.unknown_wish)(*unknown)
        if new and Gate.INTAKE in self._controls.paused:
            raise rules.intake_paused(tuple(self._controls.paused.values()))
        if most is not None:
            self._check_owners(new, most)
        self._check_groups(new)
        for job, (spec, text) in batch.items():
            if known[job] is None:
                self._add(spec, text, time)

    def _known_text(self, spec: JobSpec) -> str | None:
        """The JSON of the job or array of this id, if there is one."""
        if spec.is_array:
            return self._arrays[spec.id].text if spec.id in self._arrays else None
        known = self._jobs.get(spec.id)
        return None if known is None or known.record.spec.index is not None else known.text

    def _check_owners(self, new: Sequence[JobSpec], most: int) -> None:
        both = Counter(owner for state in _OF_QUEUE for owner in self._owners(state))
        more = Counter[str]()
        for spec in new:
            more[rules.owner_of(spec)] += max(1, spec.array)
        if any(both[owner] + count > most for owner, count in more.items()):
            raise rules.too_many_jobs(most)

    def _check_groups(self, new: Sequence[JobSpec]) -> None:
        waiting = {group for group in tuple(self._queues) if self._first(group)}
        more = {group_of(spec) for spec in new} - waiting
        for plain, most in ((False, rules.MOST_GROUPS), (True, rules.MOST_PLAIN_GROUPS)):
            found = [group for group in more if is_plain(group) == plain]
            there = [group for group in waiting if is_plain(group) == plain]
            if found and len(there) + len(found) > most:
                raise rules.too_many_groups()
            if found and not plain:
                theirs = Counter(who_of(group) for group in (*there, *found))
                if any(
                    theirs[who_of(group)] > rules.most_groups_of_one(len(there) + len(found))
                    for group in found
                ):
                    raise rules.too_many_groups_of_one()

    async def waiting(self) -> int:
        """How many jobs wait to be claimed."""
        self.round_trips += 1
        return self._counts[State.WAITING] - len(self._delayed)

    async def claim(
        self,
        *,
        agent: str,
        request: str,
        dispatch_limit: float,
        count: int = 1,
        holder: str = "",
        lease: float | None = None,
        host: str = "",
        park: Parking | None = None,
        free: Free | None = None,
        now: float | None = None,
    ) -> tuple[Claimed, ...]:
        """Give 1 to 1000 waiting jobs to `agent`: see `Store.claim`. Raises `ValueError` for numbers out of range."""
        rules.check_count("count", count)
        rules.check_seconds("dispatch_limit", dispatch_limit)
        time = self._begin(now)
        if not self._people.may_have_jobs(agent, time):
            return ()
        remembered = self._requests.get((agent, request))
        if remembered and time - remembered.time < rules.REQUEST_MEMORY:
            return tuple(
                _claimed(held, again=True)
                for job, attempt in remembered.given
                if (held := self._holding(job, attempt)) is not None
            )
        if lease is not None:
            rules.check_seconds("lease", lease)
        self._end_delays(time)
        if known_as := holder if park is None else park.jid:
            self._presence.ask(known_as, time)
            if park is None and bounded(host):
                self._hosts[known_as] = (time, bounded(host))
        host = self._host(host, park, time)
        asker = Asker(
            agent=agent,
            name=agent if park is None else park.jid,
            lease=lease,
            host=host,
            free=free or Free.unsaid(count),
            is_silent=free is None,
        )
        records = self._claim(asker, count, time, dispatch_limit)
        if records:
            self._remember(agent, request, records, time)
        if holder:
            self._held[holder].update((record.spec.id, record.attempt) for record in records)
        if park is not None:
            rest = count - len(records)
            left = None if free is None else asker.free
            self._park(
                ParkedAgent(
                    to=park,
                    agent=agent,
                    slots=rest,
                    lease=lease,
                    host=host,
                    since=time,
                    free=left,
                    free_at=time,
                )
            )
        return tuple(_claimed(self._jobs[record.spec.id]) for record in records)

    def _host(self, said: str, park: Parking | None, time: float) -> str:
        """What an agent says of its host, or has said before."""
        said = bounded(said)
        if park is None:
            return said
        if said:
            self._hosts[park.jid] = (time, said)
        when, known = self._hosts.get(park.jid, (time, ""))
        return known if when + rules.HOST_MEMORY > time else ""

    def _claim(self, asker: Asker, count: int, time: float, dispatch_limit: float) -> tuple[JobRecord, ...]:
        count = self._trials.allowance(asker.agent, count, time, self._runs)
        if self._controls.gets_nothing(asker.agent, time):
            count = 0
        deadline = time + dispatch_limit
        records = tuple(
            self._take(job, cores, asker, time, deadline) for job, cores in self._pop(asker, count, time)
        )
        if records:
            self._trials.claimed(asker.agent, (records[0].spec.id, records[0].attempt), time)
        return records

    def _park(self, parked: ParkedAgent) -> None:
        if parked.to.session:
            rules.check_session(parked.to.session)
        self._parked.pop(parked.to.jid, None)
        if parked.slots > 0:
            self._parked[parked.to.jid] = parked

    async def dispatch(
        self, *, dispatch_limit: float, limit: int = 100, now: float | None = None
    ) -> tuple[Dispatched, ...]:
        """Give at most `limit` waiting jobs to parked agents: see `Store.dispatch`."""
        rules.check_seconds("dispatch_limit", dispatch_limit)
        rules.check_count("limit", limit)
        time = self._begin(now)
        late = [jid for jid, one in self._parked.items() if one.since + rules.PARKED_FOR <= time]
        for jid in late[: rules.MOST_FORGOTTEN_AT_ONCE]:
            del self._parked[jid]
        if self._parked:
            self._end_delays(time)
        oldest = sorted(self._parked.values(), key=lambda one: (one.since, one.to.jid))
        for one in oldest:
            if not self._people.may_have_jobs(one.agent, time):
                del self._parked[one.to.jid]
        there = {one.to.jid: one for one in oldest if one.to.jid in self._parked}
        dispatching = Dispatching(
            askers={jid: one.asker(time) for jid, one in there.items()},
            slots={jid: one.slots for jid, one in there.items()},
            claim=lambda asker, count: self._claim(asker, count, time, dispatch_limit),
            left=limit,
        )
        given = dispatching.run()
        for jid, one in there.items():
            left = None if one.free is None else dispatching.askers[jid].free
            self._parked[jid] = replace(one, slots=dispatching.slots[jid], free=left, free_at=time)
            if not dispatching.slots[jid]:
                del self._parked[jid]
        return tuple(
            Dispatched(to=there[jid].to, claimed=_claimed(self._jobs[item.spec.id])) for jid, item in given
        )

    async def unpark(self, jid: str, *, parked_for: float = 0.0, now: float | None = None) -> bool:
        """The agent is not there: see `Store.unpark`."""
        rules.check_seconds("parked_for", parked_for)
        time = self._begin(now)
        parked = self._parked.get(jid)
        self._presence.leave(jid, parked_for, time)
        if parked is not None and parked.since > time - parked_for:
            return False
        return self._parked.pop(jid, None) is not None

    async def hints(self) -> AsyncIterator[str]:
        """Yields when there may be something to do: see `Store.hints`."""
        while True:
            await self._hint.wait()
            self._hint.clear()
            words, self._hints = self._hints, set()
            for word in sorted(words):
                yield word

    async def suspect(self, holder: str, *, now: float | None = None) -> int:
        """What this agent was given before seems lost: see `Store.suspect`."""
        time = self._begin(now)
        held = {(job, attempt) for job, attempt in self._held[holder] if self._holding(job, attempt)}
        self._held[holder] = held
        for ident, attempt in held:
            job = self._jobs[ident]
            claimed = job.record.claimed or 0.0
            if job.suspected != attempt and claimed + rules.SUSPECT_AFTER <= time:
                deadline = min(job.deadline, time + rules.SUSPECT_GRACE)
                self._jobs[ident] = replace(job, suspected=attempt, deadline=deadline)
        return len(held)

    async def confirm(self, job: str, attempt: int, *, max_run_time: float, now: float | None = None) -> bool:
        """The agent has the job: see `Store.confirm`. The shorter of both limits counts."""
        rules.check_seconds("max_run_time", max_run_time)
        time = self._begin(now)
        held = self._holding(job, attempt)
        if held is None:
            return False
        if held.confirmed is None:
            own = held.record.spec.max_run_time
            allowed = max_run_time if own is None else min(own, max_run_time)
            allowed = allowed if held.lease is None else held.lease
            deadline = held.deadline if held.suspected == attempt else time + allowed
            self._jobs[job] = replace(held, confirmed=time, deadline=deadline)
            self._write(held.record, EventKind.RUNNING, time)
        return True

    async def renew(self, agent: str, held: Sequence[Held], *, now: float | None = None) -> Renewed:
        """The leases of this agent begin anew: see `Store.renew`."""
        rules.check_held(held)
        time = self._begin(now)
        lost: list[Held] = []
        revived: list[Held] = []
        welcome = self._people.may_have_jobs(agent, time)
        if welcome:
            self._presence.renewed[agent] = time
        for one in held:
            job = self._leased(agent, one) if welcome else None
            if job is None:
                lost.append(one)
            elif self._renew(job, one.phase, time):
                revived.append(one)
        return Renewed(lost=tuple(lost), revived=tuple(revived))

    def _leased(self, agent: str, held: Held) -> Job | None:
        """The job, if that attempt is the agent's, or would be if it had not gone back."""
        job = self._jobs.get(held.job)
        if job is None or job.lease is None or job.record.state not in (State.RUNNING, State.WAITING):
            return None
        record = job.record
        mine = (record.attempt, record.agent) == (held.attempt, agent) and job.settled != held.attempt
        return job if mine else None

    def _renew(self, job: Job, phase: str, time: float) -> bool:
        """Whether it is revived by that."""
        record = job.record
        revived = record.state is State.WAITING
        if revived:
            again = job.handed_back == record.attempt
            record = replace(
                record, state=State.RUNNING, outcome=None, attempts_used=record.attempts_used + again
            )
            job = replace(job, record=record, handed_back=0, confirmed=None)
            self._write(record, EventKind.REVIVED, time)
        elif job.confirmed is None:
            self._write(record, EventKind.RUNNING, time)
        confirmed = time if job.confirmed is None else job.confirmed
        self._set(replace(job, deadline=time + (job.lease or 0.0), confirmed=confirmed, phase=phase))
        return revived

    async def hand_back(
        self, job: str, attempt: int, *, cause: Cause, now: float | None = None
    ) -> Event | None:
        """The attempt never began: see `Store.hand_back`."""
        time = self._begin(now)
        held = self._holding(job, attempt)
        if held is None or held.confirmed is not None:
            return None
        return self._hand_back(held, cause, "", time)

    async def leave(self, agent: str, held: Sequence[Held], *, now: float | None = None) -> tuple[Event, ...]:
        """An agent says goodbye: see `Store.leave`."""
        rules.check_held(held)
        time = self._begin(now)
        self._draining.pop(agent, None)
        written = [self._give_back(agent, one, time) for one in held]
        return tuple(event for event in written if event is not None)

    def _give_back(self, agent: str, held: Held, time: float) -> Event | None:
        job = self._holding(held.job, held.attempt)
        if job is None or job.record.agent != agent:
            return None
        settled = replace(job, settled=held.attempt)
        return self._hand_back(settled, Cause.INFRA_PREEMPTED, rules.LEFT_TEXT, time)

    async def drain(self, agents: Sequence[str], *, now: float | None = None) -> None:
        """Somebody wants these agents to leave: see `Store.drain`."""
        rules.check_agents(agents)
        until = self._begin(now) + rules.DRAIN_WANTED
        self._draining |= dict.fromkeys(agents, until)
        self._hint_orders()

    async def draining(self, *, skip: int = 0, limit: int = 100, now: float | None = None) -> tuple[str, ...]:
        """Agents that somebody wants to leave: see `Store.draining`."""
        rules.check_part(skip, limit)
        time = self._begin(now)
        self._draining = {agent: until for agent, until in self._draining.items() if until > time}
        return tuple(sorted(self._draining, key=lambda agent: (self._draining[agent], agent)))[skip:][:limit]

    async def get(self, job: str) -> JobRecord | None:
        """The record of a job, or None."""
        self.round_trips += 1
        if job in self._arrays:
            return self._arrays[job].record.record
        return self._jobs[job].record if job in self._jobs else None

    async def attempts(self, job: str) -> tuple[Attempt, ...]:
        """How the attempts of a job ended: see `Store.attempts`."""
        self.round_trips += 1
        return tuple(self._attempts[job])

    async def finish(
        self,
        job: str,
        attempt: int,
        outcome: Outcome,
        *,
        package: str | None = None,
        now: float | None = None,
    ) -> Settled:
        """Settle an attempt: see `Store.finish`; the fencing is explained in `scripts/finish.lua`."""
        time = self._begin(now)
        known = self._jobs.get(job)
        if known is None:
            return Settled(verdict=Verdict.UNKNOWN, state=None)
        if known.record.attempt != attempt or attempt == 0:
            return Settled(verdict=Verdict.STALE, state=known.record.state)
        if known.settled == attempt:
            return Settled(verdict=Verdict.REPEATED, state=known.record.state)
        begun: tuple[Event, ...] = ()
        if known.record.state is State.RUNNING and known.confirmed is None:
            begun = (self._write(known.record, EventKind.RUNNING, time),)
        if known.handed_back == attempt:  # it did begin after all
            record = replace(known.record, attempts_used=known.record.attempts_used + 1)
            known = replace(known, record=record)
        known = replace(known, settled=attempt)
        text = rules.event_text(outcome.reason)
        known = self._count_failure(known, outcome.cause)
        known = self._charge(known, outcome, time)
        move = self._requeue if known.again(outcome.cause) else self._settle
        events = (*begun, move(known, outcome, text, time), *self._judge(job, outcome.cause, time))
        record = self._jobs[job].record
        ended = record if record.state.final else None
        if package is not None and ended is not None and ended.outcome is not None and ended.outcome.output:
            self._packages[job] = package
        return Settled(verdict=Verdict.ACCEPTED, state=record.state, record=ended, events=events)

    async def package(self, job: str) -> str | None:
        """The output of a settled job, if it came with the report: see `Store.package`."""
        self.round_trips += 1
        return self._packages.get(job)

    async def cancel(self, job: str, *, reason: str = "", now: float | None = None) -> Changed:
        """Somebody wants the job to end: see `Store.cancel`."""
        return self._operate(Wish.CANCEL, job, reason, self._begin(now))

    def _operate(self, wish: Wish, job: str, reason: str, time: float) -> Changed:
        known = self._jobs.get(job)
        if known is None:
            return Changed(changed=False, state=None)
        if is_untouched(known):
            return self._operate_untouched(known, wish, reason, time)
        doing = {Wish.CANCEL: self._cancel, Wish.HOLD: self._hold, Wish.RELEASE: self._release}
        return doing.get(wish, self._retry)(known, reason, time)

    def _cancel(self, known: Job, reason: str, time: float) -> Changed:
        job, text = known.record.spec.id, rules.event_text(reason)
        if known.record.state in (State.WAITING, State.HELD, State.BLOCKED):
            self._settle(known, rules.cancelled(reason), text, time)
        elif known.record.state is State.RUNNING and known.cancel is None:
            self._jobs[job] = replace(known, cancel=rules.cancelled(reason), cancelling=time)
            self._cancelling[job] = None
            self._hint_orders()
            self._write(known.record, EventKind.CANCELLING, time, text=text)
        else:
            return Changed(changed=False, state=known.record.state)
        return Changed(changed=True, state=self._jobs[job].record.state)

    async def cancelling(self, limit: int = 100) -> tuple[Running, ...]:
        """At most `limit` (1 to 1000) running attempts that somebody wants to end."""
        rules.check_count("limit", limit)
        self.round_trips += 1
        records = (self._jobs[job].record for job in itertools.islice(self._cancelling, limit))
        return tuple(Running(job=one.spec.id, attempt=one.attempt, agent=one.agent or "") for one in records)

    async def hold(self, job: str, *, reason: str = "", now: float | None = None) -> Changed:
        """Keep a waiting or blocked job out of the queue."""
        return self._operate(Wish.HOLD, job, reason, self._begin(now))

    def _hold(self, known: Job, reason: str, time: float) -> Changed:
        if known.record.state not in (State.WAITING, State.BLOCKED):
            return Changed(changed=False, state=known.record.state)
        self._keep_out(known, time)
        self._write(known.record, EventKind.HELD, time, text=rules.event_text(reason))
        return Changed(changed=True, state=State.HELD)

    async def release(self, job: str, *, reason: str = "", now: float | None = None) -> Changed:
        """Let a held job wait again, or a blocked one wait for nobody: see `Store.release`."""
        return self._operate(Wish.RELEASE, job, reason, self._begin(now))

    def _release(self, known: Job, reason: str, time: float) -> Changed:
        if known.record.state not in (State.HELD, State.BLOCKED):
            return Changed(changed=False, state=known.record.state)
        if known.record.state is State.BLOCKED:
            self._end_waiting(known.record.spec.id)
        return self._wait_again(known, EventKind.RELEASED, reason, time)

    async def retry(self, job: str, *, reason: str = "", now: float | None = None) -> Changed:
        """Have a job run once more: see `Store.retry`."""
        return self._operate(Wish.RETRY, job, reason, self._begin(now))

    def _retry(self, known: Job, reason: str, time: float) -> Changed:
        if known.record.state not in (State.FAILED, State.CANCELLED) or not known.record.published:
            return Changed(changed=False, state=known.record.state)
        record = replace(
            known.record, attempts_used=0, user_failures=0, outcome=None, finished=None, published=False
        )
        again = replace(
            known, record=record, cancel=None, suspected=0, hand_backs=0, failed_at=(), struck=0.0
        )
        return self._wait_again(again, EventKind.RETRIED, reason, time)

    def _wait_again(self, job: Job, kind: EventKind, reason: str, time: float) -> Changed:
        state = self._put_back_in_line(job, time)
        self._write(job.record, kind, time, text=rules.event_text(reason))
        return Changed(changed=True, state=state)

    async def publish(self, job: str, *, now: float | None = None) -> bool:
        """The finisher has taken the result: see `Store.publish`."""
        time = self._begin(now)
        if job not in self._unpublished:
            return False
        self._unpublished.remove(job)
        self._packages.pop(job, None)
        if (array := self._family_of(job)) is not None:
            self._arrays[array].unpublished -= 1
        record = replace(self._jobs[job].record, published=True)
        self._jobs[job] = replace(self._jobs[job], record=record)
        if record.outcome is not None and record.outcome.output is not None:
            self._write(record, EventKind.PUBLISHED, time)
        return True

    async def unpublished(self, limit: int = 100) -> tuple[JobRecord, ...]:
        """At most `limit` (1 to 1000) settled jobs that wait for `publish`, oldest first."""
        rules.check_count("limit", limit)
        self.round_trips += 1
        records = (self._jobs[job].record for job in self._unpublished)
        return tuple(heapq.nsmallest(limit, records, key=_age))

    async def ended(
        self, state: State, before: float, *, skip: int = 0, limit: int = 100
    ) -> tuple[JobRecord, ...]:
        """At most `limit` (1 to 1000) jobs that ended before a time: see `Store.ended`."""
        rules.check_page(state, skip, limit)
        self.round_trips += 1
        records = (job.record for job in self._jobs.values() if job.record.state is state)
        found = [record for record in records if record.finished is not None and record.finished < before]
        found.sort(key=lambda record: (record.finished, entry_name(self._jobs[record.spec.id])))
        return tuple(found[skip : skip + limit])

    async def remove(self, job: str) -> bool:
        """Forget a job: see `Store.remove`."""
        self.round_trips += 1
        known = self._jobs.get(job)
        spec = None if known is None else known.record.spec
        if known is None or spec is None or not known.record.published:
            return False
        if self._is_awaited(job) or self._is_awaited(spec.submitted_as):
            return False
        self._end_waiting(job)
        self._counts[self._jobs.pop(job).record.state] -= 1
        self._attempts.pop(job, None)
        if spec.index is not None and self._forget_element(spec):
            self._end_waiting(spec.submitted_as)
        return True

    async def reap(
        self, *, limit: int = 100, up_for: float = math.inf, now: float | None = None
    ) -> tuple[Event, ...]:
        """Take back at most `limit` (1 to 1000) attempts that ran out of time: see `Store.reap`."""
        rules.check_count("limit", limit)
        time = self._begin(now)
        overdue = sorted(
            (self._jobs[job].deadline, job) for job in self._running if self._jobs[job].deadline <= time
        )
        self._end_delays(time)
        self._go_on_letting_in(time)
        jobs = [self._jobs[job] for _, job in overdue[: rules.MOST_OVERDUE_AT_ONCE]]
        late = [job for job in jobs if job.confirmed is None or job.time_to_renew <= up_for]
        return tuple(event for job in late[:limit] for event in self._take_back(job, time))

    async def trials(self) -> tuple[Trial, ...]:
        """All agents at which jobs have failed lately: see `Store.trials`."""
        self.round_trips += 1
        return tuple(sorted(self._trials.trials.values(), key=lambda one: one.agent))

    async def quarantine(self, agent: str, *, now: float | None = None) -> float:
        """For how many seconds an agent is still in quarantine, 0.0 if it is not."""
        time, held = self._begin(now), self._trials.trials.get(agent)
        return max(self._controls.seconds(agent, time), 0.0 if held is None else held.ends - time)

    async def pardon(self, agent: str, *, reason: str = "", now: float | None = None) -> bool:
        """Somebody knows that the agent is well: see `Store.pardon`."""
        time = self._begin(now)
        ended, aside = self._trials.end(agent), self._controls.aside.pop(agent, None)
        if not ended and aside is None:
            return False
        self._give_hint()
        self._write_of(agent, EventKind.RELEASED, time, None, rules.event_text(reason))
        return True

    async def events(self, *, after: str = "0", block: float = 0.0, count: int = 100) -> tuple[Event, ...]:
        """At most `count` (1 to 1000) entries of the event stream: see `Store.events`."""
        rules.check_count("count", count)
        rules.check_seconds("block", block)
        rules.check_event_id(after)
        self.round_trips += 1
        last = self._last_event if after == "$" else _number(after)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(block):
                while self._last_event <= last and block > 0:
                    await self._news.wait()
        first = min(max(0, len(self._events) - self._last_event + last), len(self._events))
        return tuple(itertools.islice(self._events, first, first + count))

    async def counts(self) -> Mapping[State, int]:
        """How many jobs there are in each state."""
        self.round_trips += 1
        return {state: self._counts[state] for state in State}

    async def close(self) -> None:
        """There is nothing to give back."""

    # ---------------------------------------------------------------- moves; each writes one event

    def _add(self, spec: JobSpec, text: str, time: float) -> None:
        record = JobRecord(
            spec=spec,
            state=State.WAITING,
            attempt=0,
            attempts_used=0,
            agent=None,
            submitted=time,
            first_event=_event_id(self._last_event + 1),
        )
        place, step = self._turns.next_places(spec, self._shares, max(1, spec.array))
        if spec.is_array:
            every, places = Slice(begin=0, end=spec.array), range(place, place + step * spec.array, step)
            self._add_array(spec, text, record, places, blocked=self._begin_waiting(spec))
            self._write(record, EventKind.SUBMITTED, time, text=every.text)
            if spec.hold:
                self._write(record, EventKind.HELD, time, text=f"{every.text} {rules.HELD_WHEN_SUBMITTED}")
            return
        job = Job(record=record, text=text, place=place, group=group_of(spec))
        waits = self._begin_waiting(spec)
        if spec.hold:
            self._keep_out(job, time)
        elif waits:
            self._block(job, time)
        else:
            self._put_in_queue(job)
        self._write(record, EventKind.SUBMITTED, time)
        if spec.hold:
            self._write(record, EventKind.HELD, time, text=rules.HELD_WHEN_SUBMITTED)

    def _take(self, job: Job, cores: int, asker: Asker, time: float, deadline: float) -> JobRecord:
        record = replace(
            job.record,
            state=State.RUNNING,
            attempt=job.record.attempt + 1,
            attempts_used=job.record.attempts_used + 1,
            agent=asker.agent,
            claimed=time,
            outcome=None,
            cores=cores,
        )
        self._set(replace(job, record=record, deadline=deadline, confirmed=None, lease=asker.lease, phase=""))
        wait = max(0.0, time - record.submitted) if record.attempt == 1 else None
        self._write(record, EventKind.CLAIMED, time, wait=wait)
        return record

    def _hand_back(self, job: Job, cause: Cause, text: str, time: float) -> Event:
        record = replace(job.record, attempts_used=job.record.attempts_used - 1)
        job = replace(job, record=record, handed_back=record.attempt)
        if job.phase == Phase.RUN:  # its agent had to leave in the middle of it
            job = self._charge(job, Outcome(cause=cause, exit_code=1), time)
        else:
            self._charge_nothing(job, time)
        if job.cancel is not None:
            return self._settle(job, job.cancel, text, time)
        job = replace(job, hand_backs=job.hand_backs + 1)
        delay = rules.delay(job.hand_backs)
        self._put_in_queue(job, until=time + delay if delay else None)
        self._keep(record, EventKind.HANDED_BACK, cause, None, time)
        return self._write(record, EventKind.HANDED_BACK, time, cause, text)

    def _requeue(self, job: Job, outcome: Outcome, text: str, time: float) -> Event:
        if job.cancel is not None:
            return self._settle(job, job.cancel, text, time)
        record = replace(job.record, outcome=replace(outcome, output=None))
        job = replace(job, record=record, hand_backs=0)
        if record.state is State.HELD:  # somebody holds it since it was handed back
            self._set(job)
        else:
            self._put_in_queue(job)
        self._keep(record, EventKind.REQUEUED, outcome.cause, record.outcome, time)
        return self._write(record, EventKind.REQUEUED, time, outcome.cause, text)

    def _settle(self, job: Job, outcome: Outcome, text: str, time: float) -> Event:
        state = _END_STATES.get(outcome.cause, State.FAILED)
        self._cancelling.pop(job.record.spec.id, None)
        record = replace(job.record, state=state, finished=time, outcome=outcome)
        self._set(replace(job, record=record, settled=record.attempt))
        self._unpublished.add(record.spec.id)
        self._keep(record, EventKind(state.value), outcome.cause, replace(outcome, output=None), time)
        written = self._write(record, EventKind(state.value), time, outcome.cause, text)
        self._let_others_in(record.spec.id, state, time)
        if record.spec.index is not None:
            self._arrays[record.spec.submitted_as].unpublished += 1
            self._note_end_of(record.spec.submitted_as, time)
        return written

    def _count_failure(self, job: Job, cause: Cause) -> Job:
        """A failure of the payload's own is counted apart, so the attempt does not count as well if it runs again."""
        if not cause.own:
            return job
        record = replace(job.record, user_failures=job.record.user_failures + 1)
        job = replace(job, record=record)
        used = record.attempts_used - job.again(cause)
        return replace(job, record=replace(record, attempts_used=used))

    def _judge(self, ident: str, cause: Cause, time: float) -> list[Event]:
        """What the end of an attempt says about its agent: the event of its quarantine, if it comes to that."""
        job = self._jobs[ident]
        agent, claimed = job.record.agent or "", job.record.claimed or 0.0
        if cause is Cause.OK:
            self._trials.end(agent)
        lasted = time - (claimed if job.confirmed is None else job.confirmed)
        if not trial.is_strike(cause, lasted):
            return []
        places = job.failed_at if agent in job.failed_at else (*job.failed_at, agent)
        self._jobs[ident] = replace(job, failed_at=places, struck=time)
        failure = Failure(job=ident, agent=agent, cause=cause, places=places, claimed=claimed)
        seconds = self._trials.failed(failure, time)
        if seconds is None:
            return []
        text = trial.quarantine_text(seconds, ident)
        return [self._write_of(agent, EventKind.QUARANTINED, time, cause, text)]

    def _take_back(self, job: Job, time: float) -> list[Event]:
        if job.confirmed is None:
            return [self._hand_back(job, Cause.INFRA_UNDELIVERED, rules.UNDELIVERED_TEXT, time)]
        move = self._requeue if job.attempts_left else self._settle
        end = rules.OUT_OF_TIME if job.lease is None else rules.SILENT
        end = rules.LOST if job.suspected == job.record.attempt else end
        job = self._charge(job, end, time)
        return [move(job, end, end.reason, time), *self._judge(job.record.spec.id, end.cause, time)]

    # ---------------------------------------------------------------- the tables

    def _begin(self, now: float | None) -> float:
        self.round_trips += 1
        return self._clock.wall() if now is None else now

    def _holding(self, job: str, attempt: int) -> Job | None:
        known = self._jobs.get(job)
        return known if known is not None and known.holds(attempt) else None

    def _runs(self, job: str, attempt: int) -> bool:
        return self._holding(job, attempt) is not None

    def _set(self, job: Job) -> None:
        """Replace a job, and keep the counts and the set of running ones in step with it."""
        ident, state = job.record.spec.id, job.record.state
        if ident in self._jobs:
            self._count(self._jobs[ident], -1)
        self._jobs[ident] = job
        self._count(job, 1)
        owner = rules.owner_of(job.record.spec)
        if state not in _OF_QUEUE and not self._on_queue[owner]:
            self._turns.forgive(owner)
        if state is not State.WAITING:
            self._delayed.pop(ident, None)
        (self._running.add if state is State.RUNNING else self._running.discard)(ident)

    def _count(self, job: Job, number: int) -> None:
        self._counts[job.record.state] += number
        self._count_element(job, number)
        if job.record.state in _OF_QUEUE:
            self._on_queue[rules.owner_of(job.record.spec)] += number

    def _put_in_queue(self, job: Job, until: float | None = None) -> None:
        """Let a job wait at its own place, or outside until then."""
        self._delayed.pop(job.record.spec.id, None)
        self._set(replace(job, record=replace(job.record, state=State.WAITING)))
        if until is None:
            self._enter(job)
        else:
            self._delayed[job.record.spec.id] = until

    def _block(self, job: Job, time: float) -> None:
        """Let a job wait for others."""
        self._set(replace(job, record=replace(job.record, state=State.BLOCKED), held=time))

    def _keep_out(self, job: Job, time: float) -> None:
        """Let a job wait until somebody releases it."""
        self._set(replace(job, record=replace(job.record, state=State.HELD), held=time))

    def _enter(self, job: Job) -> None:
        self._push(job)
        if self._parked:
            self._give_hint()

    def _give_hint(self, word: str = "") -> None:
        self._hints.add(word)
        self._hint.set()

    def _end_delays(self, time: float) -> None:
        due = sorted((until, job) for job, until in self._delayed.items() if until <= time)
        for _, job in due[: rules.MOST_DELAYED_AT_ONCE]:
            del self._delayed[job]
            self._enter(self._jobs[job])

    def _welcome(self, agent: str, now: float) -> bool:
        return self._people.may_have_jobs(agent, now)

    def _may_be_kept(self, name: str, time: float) -> bool:
        agent, _, resource = name.partition("/")
        if resource and name not in self._parked and not self._presence.is_there(name, time):
            return False
        out = self._trials.in_quarantine(agent, time) or self._draining.get(agent, 0.0) > time
        return self._controls.seconds(agent, time) == 0 and not out and self._welcome(agent, time)

    def _is_in_queue(self, job: Job) -> bool:
        return job.record.state is State.WAITING and job.record.spec.id not in self._delayed

    def _remember(self, agent: str, request: str, records: Sequence[JobRecord], time: float) -> None:
        for key, old in tuple(
            itertools.islice(self._requests.items(), 2)
        ):  # two for one, so the table shrinks
            if time - old.time >= rules.REQUEST_MEMORY:
                del self._requests[key]
        given = tuple((record.spec.id, record.attempt) for record in records)
        self._requests.pop((agent, request), None)  # a new entry stands at the end, in the order of time
        self._requests[agent, request] = Request(time=time, given=given)

    def _keep(
        self, record: JobRecord, kind: EventKind, cause: Cause, outcome: Outcome | None, time: float
    ) -> None:
        self._attempts[record.spec.id].append(
            Attempt(
                attempt=record.attempt,
                agent=record.agent or "",
                claimed=record.claimed or time,
                ended=time,
                kind=kind,
                cause=cause,
                outcome=outcome,
            )
        )

    def _write(
        self,
        record: JobRecord,
        kind: EventKind,
        time: float,
        cause: Cause | None = None,
        text: str = "",
        wait: float | None = None,
    ) -> Event:
        event = Event(
            id=_event_id(self._last_event + 1),
            time=time,
            job=record.spec.id,
            kind=kind,
            attempt=record.attempt,
            agent=record.agent or "",
            cause=cause.value if cause else "",
            text=text,
            wait=wait,
        )
        return self._append(event)

    def _append_of(self, job: str, kind: EventKind, time: float, cause: str, text: str) -> Event:
        """An event of an array, or of an element that no agent ever had."""
        ident = _event_id(self._last_event + 1)
        return self._append(Event(id=ident, time=time, job=job, kind=kind, cause=cause, text=text))

    def _write_of(self, agent: str, kind: EventKind, time: float, cause: Cause | None, text: str) -> Event:
        """An event that tells of an agent and of no job."""
        ident, word = _event_id(self._last_event + 1), cause.value if cause else ""
        return self._append(Event(id=ident, time=time, job="", kind=kind, agent=agent, cause=word, text=text))

    def _append(self, event: Event) -> Event:
        self._last_event += 1
        self._events.append(event)
        self._news.set()
        self._news = asyncio.Event()
        return event


def _claimed(job: Job, *, again: bool = False) -> Claimed:
    record = job.record
    assert record.claimed is not None  # a job that was taken has the time of it
    return Claimed(
        spec=record.spec,
        attempt=record.attempt,
        submitted=record.submitted,
        claimed=record.claimed,
        lease=job.lease,
        again=again,
        cores=record.cores,
    )


def _age(record: JobRecord) -> tuple[float, str]:
    """Sorts settled jobs as the indexes in Redis do: by the time of their end, then by id."""
    assert record.finished is not None
    return record.finished, record.spec.id


def _event_id(number: int) -> str:
    return f"{number}-0"


def _number(event: str) -> int:
    return int(event.partition("-")[0])
