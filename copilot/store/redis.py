"""The queue in Redis 6.2 or later: every method is one script or command, and so one atomic step and round trip.

What is answered is durable if the server runs with `appendonly yes` and `appendfsync always`; `check` says so if not.
With replicas, what is answered is also on as many of them as were asked for (decision 10). Redis Cluster is not
supported: a move touches several keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Self

import copilot
from copilot.errors import ConfigError, IntakePaused, QueueFull, StoreError, StoreUnavailable
from copilot.job import Attempt, Cause, Event, JobRecord, JobSpec, Outcome, State
from copilot.matching.groups import group_of
from copilot.matching.host import bounded, with_mark
from copilot.matching.needs import needed
from copilot.matching.rank import ANYWHERE
from copilot.matching.resources import Free
from copilot.store import codec, loader, redis_accounts, redis_shares, rules
from copilot.store.arrays import ArrayRecord, Operated, Slice, Wish, check_cursor
from copilot.store.audit import audited, pending, with_entry
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
from copilot.store.blocking import Awaited, Until, wishes_of
from copilot.store.connections import Command, Connections
from copilot.store.counts import NO_ENTRY, REFUSED, UNAVAILABLE, StoreCounts
from copilot.store.fitness import check_fitness, disk_warning, memory_warning, replica_warning
from copilot.store.format import FORMAT, check_format
from copilot.store.hosts import ASKED, ASKED_FOR_RANKS, Hosts, Look
from copilot.store.keys import DEFAULT_PREFIX, Keys, digest
from copilot.store.redis_audit import RedisAudit
from copilot.store.redis_controls import RedisControls
from copilot.store.redis_reach import RedisReach
from copilot.store.redis_survey import SCRIPTS, RedisSurvey, event_from_list, rows_of
from copilot.store.redis_usage import RedisUsage
from copilot.store.redis_watched import RedisWatched
from copilot.store.refusals import NoScript, RefusedForGood, our_errors, taken
from copilot.store.replies import pairs, shaped
from copilot.store.together import Together
from copilot.store.trial import Trial

TIMEOUT = 10.0  # seconds for an answer: `appendfsync always` on a busy disk needs some

SESSION = "session="  # before the session of a parked agent, among its features

# Scripts that change nothing. All others wait for replicas where there are any.
READS = (
    frozenset({"awaits", "find", "cancelling", "counts", "ended", "quarantine", "unpublished", "waiting"})
    | SCRIPTS
    | redis_accounts.SCRIPTS
    | redis_shares.SCRIPTS
)


@audited(with_entry)
class RedisStore(
    RedisSurvey,
    redis_shares.RedisShares,
    redis_accounts.RedisAccounts,
    RedisControls,
    RedisUsage,
    RedisReach,
    RedisWatched,
    RedisAudit,
    Store,
):
    """The queue in Redis. `numbers.round_trips` counts what was sent: one for all calls of the same moment, or one more when
    a script is new to the server.

    Nothing is sent twice behind the caller's back: a repeated `finish` answers differently. Belongs to the event
    loop that first uses it.
    """

    def __init__(
        self,
        connections: Connections,
        *,
        prefix: str = DEFAULT_PREFIX,
        timeout: float = TIMEOUT,
        high_water: float | None = None,
        replicas: int = 0,
    ) -> None:
        """Answers come as text (UTF-8). One that is `timeout` seconds overdue is given up. New jobs are
        refused (`QueueFull`) while Redis uses more than the share `high_water` of its `maxmemory`.

        A change is answered when `replicas` replicas have it. Have fewer it within half of `timeout`, it raises
        `StoreUnavailable` although it has happened: made once more it changes nothing, and waits for them again."""
        self.numbers = StoreCounts()
        self.high_water = high_water
        self._connections = connections
        self._together = Together(connections.ask, timeout, self.numbers)
        self._keys = Keys(prefix)
        self._hosts = Hosts()
        self._unanswered = ""  # the last dispatch, if its answer was lost
        self._timeout = timeout
        self._replicas = replicas

    @property
    def round_trips(self) -> int:
        """Since the start."""
        return self.numbers.round_trips

    @classmethod
    def from_url(cls, url: str, *, timeout: float = TIMEOUT, **options: Any) -> Self:
        """A store at `redis://[[user]:password@]host[:port][/db]`, `rediss://…` (TLS) or `unix:///path[?db=n]`.

        Connects when first used. `timeout` in seconds, for an answer, with all that it takes to get a connection; the
        other options are those of `RedisStore`. Raises `ConfigError`.
        """
        from copilot.store.pools import to_server  # commands that somebody types do without redis-py

        return cls(to_server(url, timeout=timeout), timeout=timeout, **options)

    @classmethod
    def from_sentinels(
        cls,
        addresses: Sequence[tuple[str, int]],
        service: str,
        *,
        user: str | None = None,
        password: str | None = None,
        sentinel_password: str | None = None,
        timeout: float = TIMEOUT,
        **options: Any,
    ) -> Self:
        """A store on whatever server the sentinels at `addresses` (host, port) call the primary of `service`.

        During a failover it raises `StoreUnavailable`; after it, it finds the new primary. `user` and `password` are
        those of the servers. The rest as for `from_url`.
        """
        from copilot.store.pools import to_primary

        connections = to_primary(
            addresses,
            service,
            user=user,
            password=password,
            sentinel_password=sentinel_password,
            timeout=timeout,
        )
        return cls(connections, timeout=timeout, **options)

    async def check(self) -> Facts:
        """Look at version and settings; two round trips. Raises `ConfigError` for a server that may lose jobs
        (eviction), is too old, or is a cluster."""
        info: dict[str, Any] = await self._send("INFO")
        check_fitness(info)
        failover = self._connections.failover
        warnings = (
            disk_warning(info, await self._appendfsync(), replicas=self._replicas),
            replica_warning(info, replicas=self._replicas, failover=failover),
            memory_warning(info),
        )
        return Facts(server=f"Redis {info['redis_version']}", warnings=tuple(filter(None, warnings)))

    async def take_over(self) -> None:
        """See `Store.take_over`, and decision 25."""
        found, by = await self._run("take_over", None, FORMAT, copilot.__version__)
        check_format(int(found), by, version=copilot.__version__)

    async def submit(
        self, specs: Sequence[JobSpec], *, most: int | None = None, now: float | None = None
    ) -> None:
        """Put at most 1000 jobs on the queue, all or none: see `Store.submit`.

        Raises also `ValueError` for more, and for numbers out of range.
        """
        jobs = rules.check_batch(specs).values()
        values = [value for spec, text in jobs for value in job_values(spec, text)]
        limit = "" if most is None else most
        most_groups = rules.MOST_GROUPS, rules.MOST_PLAIN_GROUPS, rules.FEW_GROUPS, rules.GROUPS_TO_FREE
        answer, *taken = await self._run("submit", now, self._share, *most_groups, limit, *values)
        if answer == "taken":
            raise rules.job_exists(taken[0])
        if answer in ("unknown", "element"):
            raise (rules.unknown_wish if answer == "unknown" else rules.element_wish)(*taken)
        if answer == "many":
            raise rules.too_many_jobs(most or 0)
        if answer == "full":
            raise self.full()
        if answer == "paused":
            raise await self.closed()
        if answer == "groups":
            raise rules.too_many_groups()
        if answer == "groups-of-one":
            raise rules.too_many_groups_of_one()

    def full(self) -> QueueFull:
        """The error for a new job above the high-water mark."""
        return rules.queue_full(self.high_water or 0.0)

    async def closed(self) -> IntakePaused:
        """The error for a new job while none is taken."""
        return rules.intake_paused(await self.paused())

    @property
    def _share(self) -> float | str:
        return "" if self.high_water is None else self.high_water

    async def waiting(self) -> int:
        """How many jobs wait to be claimed."""
        return int(await self._run("waiting", None))

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
        """Give 1 to 1000 waiting jobs to `agent`: see `Store.claim`. Raises `ValueError` for numbers out of range.

        One round trip, or more when its class of hosts meets groups for the first time."""
        limit = rules.check_seconds("dispatch_limit", dispatch_limit)
        size = rules.check_count("count", count)
        leased = "" if lease is None else rules.check_seconds("lease", lease)
        given: list[Claimed] = []
        left = "" if free is None else free.text

        async def ask(look: Look, most_asked: int) -> Sequence[str]:
            nonlocal left
            flat, left, question = await self._run(
                *("claim", now, agent, digest(agent, request), limit, size - len(given)),
                *(
                    round(rules.REQUEST_MEMORY),
                    digest(holder) if holder else "",
                    round(rules.HELD_MEMORY),
                    leased,
                ),
                *(("", "", "") if park is None else (park.jid, _words_of(park), digest(park.jid))),
                *(jdl, round(rules.HOST_MEMORY), *look.words, most_asked, len(given), left),
                *(known_as, digest(known_as) if known_as else ""),
            )
            jobs = rows_of(7, flat)
            given.extend(_claimed(*job, again=again) for *job, again in jobs)
            words: Sequence[str] = question
            return words

        jid, jdl = "" if park is None else park.jid, with_mark(bounded(host))
        known_as = jid or holder
        look = self._hosts.look(jid, jdl)
        for most_asked in ASKED:
            question = await ask(look, most_asked)
            if not question:
                break
            look = self._hosts.answer(jid, question)
        return tuple(given)

    async def dispatch(
        self, *, dispatch_limit: float, limit: int = 100, now: float | None = None
    ) -> tuple[Dispatched, ...]:
        """Give at most `limit` waiting jobs to parked agents: see `Store.dispatch`."""
        seconds = rules.check_seconds("dispatch_limit", dispatch_limit)
        left, given = rules.check_count("limit", limit), list[Dispatched]()
        answers: list[str] = []
        looked_at = 0  # parked agents
        for turn, most_asked in enumerate(ASKED):
            call, self._unanswered = self._unanswered or uuid.uuid4().hex, ""
            numbers = left - len(given), looked_at, most_asked, digest(call), int(turn < ASKED_FOR_RANKS)
            try:
                flat, questions, end = await self._run("dispatch", now, seconds, *numbers, *answers)
            except StoreUnavailable:
                self._unanswered = call  # it may have given jobs: the next one is told which
                if given:  # whoever has got a job is to hear of it
                    break
                raise
            given += [_dispatched(*one) for one in rows_of(8, flat)]
            answers = [
                word
                for jid, question in questions
                for word in (jid, *self._hosts.answer(jid, question).words)
            ]
            looked_at = looked_at if questions else end
            if len(given) == left or (not questions and end == 0):
                break
        return tuple(given)

    async def unpark(self, jid: str, *, parked_for: float = 0.0, now: float | None = None) -> bool:
        """The agent is not there: see `Store.unpark`."""
        return bool(await self._run("unpark", now, jid, rules.check_seconds("parked_for", parked_for)))

    async def hints(self) -> AsyncIterator[str]:
        """Yields when there may be something to dispatch: see `Store.hints`."""
        async with contextlib.aclosing(self._connections.listen(self._keys.parked)) as messages:
            while True:
                async with self._errors(self._timeout):
                    message = await anext(messages)
                if message is not None:
                    yield message

    async def suspect(self, holder: str, *, now: float | None = None) -> int:
        """What this agent was given before seems lost: see `Store.suspect`."""
        young, grace = rules.SUSPECT_AFTER, rules.SUSPECT_GRACE
        return int(await self._run("suspect", now, digest(holder), young, grace))

    async def confirm(self, job: str, attempt: int, *, max_run_time: float, now: float | None = None) -> bool:
        """The agent has the job: see `Store.confirm`. The shorter of both limits counts."""
        seconds = rules.check_seconds("max_run_time", max_run_time)
        return bool(await self._run("confirm", now, job, attempt, seconds))

    async def renew(self, agent: str, held: Sequence[Held], *, now: float | None = None) -> Renewed:
        """The leases of this agent begin anew: see `Store.renew`."""
        rules.check_held(held)
        words = [word for one in held for word in (one.job, one.attempt, one.phase)]
        lost, revived = await self._run("renew", now, agent, *words)
        return Renewed(
            lost=tuple(held[int(number) - 1] for number in lost),
            revived=tuple(held[int(number) - 1] for number in revived),
        )

    async def hand_back(
        self, job: str, attempt: int, *, cause: Cause, now: float | None = None
    ) -> Event | None:
        """The attempt never began: see `Store.hand_back`."""
        written = await self._run("hand_back", now, job, attempt, cause.value)
        return None if written is None else event_from_list(written)

    async def leave(self, agent: str, held: Sequence[Held], *, now: float | None = None) -> tuple[Event, ...]:
        """An agent says goodbye: see `Store.leave`."""
        rules.check_held(held)
        words = [word for one in held for word in (one.job, one.attempt)]
        written = await self._run("leave", now, agent, Cause.INFRA_PREEMPTED.value, rules.LEFT_TEXT, *words)
        return tuple(map(event_from_list, written))

    async def drain(self, agents: Sequence[str], *, now: float | None = None) -> None:
        """Somebody wants these agents to leave: see `Store.drain`."""
        rules.check_agents(agents)
        await self._run("drain", now, rules.DRAIN_WANTED, *agents)

    async def draining(self, *, skip: int = 0, limit: int = 100, now: float | None = None) -> tuple[str, ...]:
        """Agents that somebody wants to leave: see `Store.draining`."""
        rules.check_part(skip, limit)
        return tuple(await self._run("draining", now, skip, limit))

    async def get(self, job: str) -> JobRecord | None:
        """The record of a job, or None."""
        fields = await self._send("HGETALL", self._keys.job(job))
        if fields:
            return codec.record_from_fields(fields)
        found = await self._run("find", None, job)  # arrays, and elements that no agent ever had
        if found and found[0] == codec.ARRAY:
            return codec.array_from_fields(pairs(found[1])).record
        return _record(found) if found else None

    async def array(self, array: str) -> ArrayRecord | None:
        """An array: see `Arrays.array`."""
        fields = await self._send("HGETALL", self._keys.array(array))
        return codec.array_from_fields(fields) if fields else None

    async def operate_slice(
        self,
        array: str,
        part: Slice,
        wish: Wish,
        *,
        reason: str = "",
        states: Sequence[State] = (),
        after: str = "",
        now: float | None = None,
    ) -> Operated:
        """See `Arrays.operate_slice`. One step and round trip a call."""
        changed, _, size, same, end = await self._run(
            *("slice", now, array, part.begin, part.end, part.step, wish.value, rules.event_text(reason)),
            *(codec.outcome_to_json(rules.cancelled(reason)), " ".join(states), check_cursor(after)),
        )
        return Operated(size=size, changed=changed, same=same, next=end)

    async def attempts(self, job: str) -> tuple[Attempt, ...]:
        """How the attempts of a job ended: see `Store.attempts`."""
        entries = await self._send("LRANGE", self._keys.attempts(job), 0, -1)
        return tuple(map(codec.attempt_from_json, entries))

    async def awaits(self, job: str) -> Sequence[Awaited]:
        """What a job waits for yet: see `Store.awaits`."""
        flat = await self._run("awaits", None, job)
        names = ((*name.split(":", 1), state) for name, state in zip(flat[::2], flat[1::2], strict=True))
        return tuple(
            Awaited(job=other, until=Until(until), state=State(state) if state else None)
            for until, other, state in names
        )

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
        verdict, state, *more = await self._run(
            "finish",
            now,
            job,
            attempt,
            outcome.cause.value,
            codec.outcome_to_json(outcome),
            codec.output_to_json(outcome.output),
            rules.event_text(outcome.reason),
            package or "",
        )
        return Settled(
            verdict=Verdict(verdict),
            state=State(state) if state else None,
            record=_record(more[1]) if len(more) > 1 else None,
            events=tuple(map(event_from_list, more[0])) if more else (),
        )

    async def package(self, job: str) -> str | None:
        """The output of a settled job, if it came with the report: see `Store.package`."""
        text: str | None = await self._send("GET", self._keys.package(job))
        return text

    async def cancel(self, job: str, *, reason: str = "", now: float | None = None) -> Changed:
        """Somebody wants the job to end: see `Store.cancel`."""
        outcome = codec.outcome_to_json(rules.cancelled(reason))
        return await self._operate("cancel", now, job, outcome, rules.event_text(reason))

    async def cancelling(self, limit: int = 100) -> tuple[Running, ...]:
        """At most `limit` (1 to 1000) running attempts that somebody wants to end."""
        flat = await self._run("cancelling", None, rules.check_count("limit", limit))
        return tuple(
            Running(job=job, attempt=int(attempt), agent=agent)
            for job, attempt, agent in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        )

    async def hold(self, job: str, *, reason: str = "", now: float | None = None) -> Changed:
        """Keep a waiting job out of the queue."""
        return await self._operate("hold", now, job, rules.event_text(reason))

    async def release(self, job: str, *, reason: str = "", now: float | None = None) -> Changed:
        """Let a held job wait again."""
        return await self._operate("release", now, job, rules.event_text(reason))

    async def retry(self, job: str, *, reason: str = "", now: float | None = None) -> Changed:
        """Have a job run once more: see `Store.retry`."""
        return await self._operate("retry", now, job, rules.event_text(reason))

    async def _operate(self, script: str, now: float | None, *arguments: str) -> Changed:
        changed, state = await self._run(script, now, *arguments)
        return Changed(changed=bool(changed), state=State(state) if state else None)

    async def publish(self, job: str, *, now: float | None = None) -> bool:
        """The finisher has taken the result: see `Store.publish`."""
        return bool(await self._run("publish", now, job))

    async def unpublished(self, limit: int = 100) -> tuple[JobRecord, ...]:
        """At most `limit` (1 to 1000) settled jobs that wait for `publish`, oldest first."""
        found = await self._run("unpublished", None, rules.check_count("limit", limit))
        return tuple(map(_record, found))

    async def ended(
        self, state: State, before: float, *, skip: int = 0, limit: int = 100
    ) -> tuple[JobRecord, ...]:
        """At most `limit` (1 to 1000) jobs that ended before a time: see `Store.ended`."""
        rules.check_page(state, skip, limit)
        found = await self._run("ended", None, state.value, f"({before!r}", skip, limit)
        return tuple(map(_record, found))

    async def remove(self, job: str) -> bool:
        """Forget a job: see `Store.remove`."""
        return bool(await self._run("remove", None, job))

    async def reap(
        self, *, limit: int = 100, up_for: float = math.inf, now: float | None = None
    ) -> tuple[Event, ...]:
        """Take back at most `limit` (1 to 1000) attempts that ran out of time: see `Store.reap`."""
        ends = [
            word
            for end in (rules.OUT_OF_TIME, rules.LOST, rules.SILENT)
            for word in (end.cause.value, codec.outcome_to_json(end), end.reason)
        ]
        unconfirmed = Cause.INFRA_UNDELIVERED.value, rules.UNDELIVERED_TEXT
        times = min(up_for, rules.LONGEST), rules.LEAST_UP_TIME  # Lua reads no "inf"
        written = await self._run("reap", now, rules.check_count("limit", limit), *times, *unconfirmed, *ends)
        return tuple(map(event_from_list, written))

    async def trials(self) -> tuple[Trial, ...]:
        """All agents at which jobs have failed lately: see `Store.trials`."""
        lines = await self._send("HGETALL", self._keys.trials)
        return tuple(codec.trial_from_line(agent, line) for agent, line in sorted(lines.items()))

    async def quarantine(self, agent: str, *, now: float | None = None) -> float:
        """For how many seconds an agent is still in quarantine, 0.0 if it is not."""
        return float(await self._run("quarantine", now, agent))

    async def pardon(self, agent: str, *, reason: str = "", now: float | None = None) -> bool:
        """Somebody knows that the agent is well: see `Store.pardon`."""
        return bool(await self._run("pardon", now, agent, rules.event_text(reason)))

    async def events(self, *, after: str = "0", block: float = 0.0, count: int = 100) -> tuple[Event, ...]:
        """At most `count` (1 to 1000) entries of the event stream: see `Store.events`.

        Who waits does so on a connection of its own, so that claims and reports never wait for it.
        """
        arguments: list[str | int] = ["COUNT", rules.check_count("count", count)]
        if rules.check_seconds("block", block) > 0:
            arguments += ["BLOCK", math.ceil(block * 1000)]  # never 0: that is for ever
        arguments += ["STREAMS", self._keys.events, rules.check_event_id(after)]
        streams = await self._send("XREAD", *arguments, wait=block)
        return tuple(
            codec.event_from_fields(ident, fields) for _, entries in streams for ident, fields in entries
        )

    async def counts(self) -> Mapping[State, int]:
        """How many jobs there are in each state."""
        numbers = await self._run("counts", None)
        states = (
            State.WAITING,
            State.RUNNING,
            State.DONE,
            State.FAILED,
            State.CANCELLED,
            State.HELD,
            State.BLOCKED,
        )
        return dict(zip(states, numbers, strict=True))

    async def close(self) -> None:
        """Give the connections back. Idempotent."""
        await self._together.close()
        await self._connections.close()

    async def _fill(self) -> tuple[int, int, int]:
        memory, unpublished = await asyncio.gather(  # at one moment, so they go together
            self._send("INFO", "memory"),
            self._send("ZCARD", self._keys.unpublished),
        )
        limit = memory.get("maxmemory") or memory.get("total_system_memory") or 0
        return int(memory["used_memory"]), int(limit), int(unpublished)

    async def _hosts_of(self, jids: Sequence[str]) -> Sequence[str | None]:
        return list(await self._send("MGET", *(self._keys.host(jid) for jid in jids)))

    async def _entries(self, after: str, count: int) -> Sequence[tuple[str, Mapping[str, str]]]:
        found: Sequence[tuple[str, Mapping[str, str]]] = await self._send(
            "XRANGE", self._keys.events, f"({after}", "+", "COUNT", count
        )
        return found

    async def _appendfsync(self) -> str | None:
        try:
            found: Mapping[str, str] = await self._send("CONFIG GET", "appendfsync")
        except (RefusedForGood, ConfigError):
            return None
        return found.get("appendfsync")

    async def script(self, name: str, *arguments: str | float | bytes) -> Any:
        """Run a script of ours, for the other files of this package."""
        return await self._run(name, None, *arguments)

    async def raw(self, command: str, *arguments: str | float | bytes, wait: float | None = None) -> Any:
        """Send one command about keys of others: nobody knows what is in them, so texts in the answer are bytes.

        `wait`: how long the command itself waits, in seconds; it does so on a connection of its own.
        """
        waits = wait is not None
        return await self._send_apart((command, *arguments), wait=wait or 0.0, raw=True, waits=waits)

    async def _ask(self, command: str, *arguments: str) -> Any:
        return await self._send(command, *arguments)

    async def _run(self, name: str, now: float | None, *arguments: str | float | bytes) -> Any:
        """Run a script with all keys and the time in front of its own arguments."""
        entry = None if name in READS else pending()
        script = loader.load(name, audited=entry is not None)
        rest: tuple[str | float | bytes, ...] = (len(self._keys.all), *self._keys.all)
        rest += ("" if now is None else repr(now), *arguments)
        if entry is not None:
            rest += (self._keys.audit, entry)
        send = self._send_and_wait if self._replicas and name not in READS else self._send
        try:
            return await send("EVALSHA", script.sha, *rest)
        except NoScript:
            return await send("EVAL", script.text, *rest)

    async def _send(self, command: str, *arguments: str | float | bytes, wait: float = 0.0) -> Any:
        """`wait`: how long Redis itself may wait before it answers, in seconds."""
        if wait > 0:
            return await self._send_apart((command, *arguments), wait=wait, waits=True)
        try:  # by hand what `_errors` does: this is the way of all that is done often
            with our_errors(self._timeout):
                return shaped(command, await self._together.send(command, *arguments))
        except (StoreError, ConfigError) as error:
            await self._failed(error)
            raise

    async def _send_apart(
        self, command: Command, *, wait: float = 0.0, raw: bool = False, waits: bool = False
    ) -> Any:
        """What waits, and what is answered in bytes, does not go together with others."""
        self.numbers.round_trips += 1
        limit = wait + self._timeout
        async with self._errors(limit), asyncio.timeout(limit):
            (answer,) = await self._connections.ask([command], raw=raw, waits=waits)
            return shaped(str(command[0]), taken(answer))

    async def _send_and_wait(self, command: str, *arguments: str | float | bytes) -> Any:
        """As `_send`, but the answer comes when enough replicas have the change; still one round trip.

        WAIT looks at what its own connection wrote last, and since Redis 7.2 a command that changed nothing does not
        count as that. So a repetition, which changes nothing, would not wait for what came before on another
        connection: an empty message, which goes to replicas and to no disk, makes it do so.
        """
        self.numbers.round_trips += 1
        began = time.monotonic()
        limit = self._timeout / 2
        milliseconds = math.ceil(limit * 1000)  # never 0: that is for ever
        marked, waited = ("PUBLISH", self._keys.mark, ""), ("WAIT", self._replicas, milliseconds)
        async with self._errors(limit + self._timeout), asyncio.timeout(limit + self._timeout):
            answers = await self._connections.ask([(command, *arguments), marked, waited])
            self.numbers.seconds.observe(time.monotonic() - began)
            answer, _, seen = map(taken, answers)
            if seen < self._replicas:
                raise StoreUnavailable(
                    f"Redis has the change, but only {seen} of {self._replicas} replicas had it within {limit:g} s: "
                    "look whether they run and follow, or lower REDIS_REPLICAS; trying again is right"
                )
            return answer

    @contextlib.asynccontextmanager
    async def _errors(self, limit: float) -> AsyncIterator[None]:
        """Errors of ours; after one that another server may not have, that one is looked for."""
        try:
            with our_errors(limit):
                yield
        except (StoreError, ConfigError) as error:
            await self._failed(error)
            raise

    async def _failed(self, error: Exception) -> None:
        """A command got no answer of use."""
        kind = NO_ENTRY if isinstance(error, ConfigError) else REFUSED
        if isinstance(error, StoreUnavailable):
            kind = UNAVAILABLE
            await self._connections.look_again()
        self.numbers.errors[kind] += 1


def job_values(spec: JobSpec, text: str) -> tuple[str | float, ...]:
    """What `add_job` of the scripts takes; `text` is the JSON of `spec`."""
    limit = "" if spec.max_run_time is None else repr(spec.max_run_time)
    attempts, attributes = (spec.max_attempts, spec.max_user_attempts), " ".join(rules.attributes_of(spec))
    needs = needed(spec)
    needs = "" if needs == spec.requirements else needs
    if spec.rank and not (needs or spec.requirements):
        needs = ANYWHERE
    head = (spec.id, text, group_of(spec), -spec.priority, *attempts, limit, attributes, needs)
    awaits = " ".join(f"{until}:{job}" for until, job in wishes_of(spec))
    return (
        *head,
        rules.owner_of(spec),
        rules.words_of(spec.project),
        spec.cores,
        awaits,
        spec.array,
        spec.rank,
        rules.HELD_WHEN_SUBMITTED if spec.hold else "",
    )


def _claimed(
    spec: str, attempt: str, claimed: str, lease: str, submitted: str, cores: str, *, again: str = ""
) -> Claimed:
    """A job as a script tells it."""
    return Claimed(
        spec=codec.spec_from_json(spec),
        attempt=int(attempt),
        submitted=float(submitted),
        claimed=float(claimed),
        lease=float(lease) if lease else None,
        again=bool(again),
        cores=int(cores),
    )


def _dispatched(jid: str, features: str, *job: str) -> Dispatched:
    """A job for a parked agent as a script tells it."""
    words = features.split()
    session = next((word for word in words if word.startswith(SESSION)), SESSION).removeprefix(SESSION)
    known = tuple(word for word in words if not word.startswith(SESSION))
    return Dispatched(to=Parking(jid=jid, features=known, session=session), claimed=_claimed(*job))


def _words_of(park: Parking) -> str:
    """What the scripts keep of a parked agent. Raises `ValueError` for a session that is no word."""
    if not park.session:
        return " ".join(park.features)
    return " ".join((*park.features, f"{SESSION}{rules.check_session(park.session)}"))


def _record(found: Sequence[Any]) -> JobRecord:
    """The record in the fields of a hash as a script returns them: names and values by turns; or that of an element that no agent ever
    had: its number, state, since when, outcome, and the fields of its array."""
    if isinstance(found[0], int):
        index, state, since, outcome, common = found
        return codec.element_from_fields(pairs(common), index, state, since, outcome)
    return codec.record_from_fields(pairs(found))
