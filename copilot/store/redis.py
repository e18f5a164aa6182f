"""The queue in Redis 6.2 or later: every method is one script or command, and so one atomic step and round trip.

What is answered is durable if the server runs with `appendonly yes` and `appendfsync always`; `check` says so if not.
Redis Cluster is not supported: a move touches several keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.resources
import math
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from copilot.errors import ConfigError, QueueFull, StoreError, StoreUnavailable
from copilot.job import ANY_GROUP, Attempt, Cause, Event, JobRecord, JobSpec, Outcome, State
from copilot.store import codec, rules
from copilot.store.base import Changed, Claimed, Facts, Held, Running, Settled, Store, Verdict
from copilot.store.keys import DEFAULT_PREFIX, Keys, digest
from copilot.store.trial import Trial

OLDEST_VERSION = (6, 2)
TIMEOUT = 10.0  # seconds for an answer: `appendfsync always` on a busy disk needs some
MAX_CONNECTIONS = 16  # of one instance; more only queue up inside Redis
MAX_LISTENERS = 1000  # connections that wait for events

# Passing refusals, by the word that Redis begins them with (inside a script's error it may stand anywhere).
_REFUSALS = {
    "OOM": "its memory is full: raise maxmemory or remove old jobs",
    "READONLY": "it is a read-only replica: wait for the failover, or name the primary in the configuration",
    "MISCONF": "it cannot write to its disk: look at its log and make room",
    "NOREPLICAS": "too few replicas are connected: start them or lower min-replicas-to-write",
    "MASTERDOWN": "it is a replica without its primary: wait for the failover, or start the primary",
    "BUSY": "a script of somebody has run for long: wait, or end it with SCRIPT KILL",
}
_REFUSAL = re.compile(r"\b(" + "|".join(_REFUSALS) + r")\b")
_REFUSAL_CLASSES: dict[type[Exception], str] = {  # those that redis-py strips of their word
    exceptions.OutOfMemoryError: "OOM",
    exceptions.ReadOnlyError: "READONLY",
    exceptions.MasterDownError: "MASTERDOWN",
}

_NO_ENTRY = (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.NoPermissionError)


@dataclass(frozen=True, slots=True)
class _Script:
    text: str
    sha: str


@cache
def _script(name: str) -> _Script:
    folder = importlib.resources.files("copilot.store") / "scripts"
    text = "".join((folder / f"{part}.lua").read_text("utf-8") for part in ("prelude", "trial", name))
    return _Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class RedisStore(Store):
    """The queue in Redis. `round_trips` counts what was sent: one a call, two when a script is new to the server.

    Nothing is sent twice behind the caller's back: a repeated `finish` answers differently. Belongs to the event
    loop that first uses it.
    """

    def __init__(
        self,
        client: Redis,
        *,
        listener: Redis | None = None,
        prefix: str = DEFAULT_PREFIX,
        timeout: float = TIMEOUT,
        high_water: float | None = None,
    ) -> None:
        """`client` decodes its answers (UTF-8). `listener` waits for events: its connections have no time limit of
        their own, but an answer that is `timeout` seconds overdue is given up. New jobs are refused (`QueueFull`) while
        Redis uses more than the share `high_water` of its `maxmemory`."""
        self.round_trips = 0
        self.high_water = high_water
        self._client = client
        self._listener = listener or client
        self._keys = Keys(prefix)
        self._timeout = timeout

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        prefix: str = DEFAULT_PREFIX,
        timeout: float = TIMEOUT,
        high_water: float | None = None,
    ) -> Self:
        """A store at `redis://[[user]:password@]host[:port][/db]`, `rediss://…` (TLS) or `unix:///path[?db=n]`.

        Connects when first used. `timeout` in seconds, for a connection and for an answer. Raises `ConfigError`.
        """
        options: dict[str, Any] = {
            "decode_responses": True,
            "protocol": 2,
            "socket_connect_timeout": timeout,
            "retry": Retry(NoBackoff(), 0),
        }
        if not url.startswith("unix:"):
            options["socket_keepalive"] = True
        try:
            workers = BlockingConnectionPool.from_url(
                url, max_connections=MAX_CONNECTIONS, timeout=timeout, socket_timeout=timeout, **options
            )
            listeners = ConnectionPool.from_url(
                url, max_connections=MAX_LISTENERS, socket_timeout=None, **options
            )
        except ValueError:  # its text may show a piece of the URL, and that a piece of a password
            raise ConfigError(
                "the URL of Redis is wrong: expected redis://[[user]:password@]host[:port][/db], rediss://… or "
                "unix:///path[?db=n]; special characters in user and password are written as %XX"
            ) from None
        client, listener = Redis(connection_pool=workers), Redis(connection_pool=listeners)
        return cls(client, listener=listener, prefix=prefix, timeout=timeout, high_water=high_water)

    async def check(self) -> Facts:
        """Look at version and settings; two round trips. Raises `ConfigError` for a server that may lose jobs
        (eviction), is too old, or is a cluster."""
        info: dict[str, Any] = await self._send(self._client, "INFO")
        check_fitness(info)
        warnings = await self._durability_warnings(info)
        if not info.get("maxmemory"):
            warnings += (
                "maxmemory is not set: new jobs may fill the memory of the machine; say what Redis may have",
            )
        return Facts(server=f"Redis {info['redis_version']}", warnings=warnings)

    async def submit(self, specs: Sequence[JobSpec], *, now: float | None = None) -> None:
        """Put at most 1000 jobs on the queue, all or none: see `Store.submit`.

        Raises also `ValueError` for more, for a group that is not served, and for numbers out of range.
        """
        jobs = rules.check_batch(specs).values()
        values = [value for spec, text in jobs for value in job_values(spec, text)]
        answer, *taken = await self._run("submit", now, self._share, *values)
        if answer == "taken":
            raise rules.job_exists(taken[0])
        if answer == "full":
            raise self.full()

    def full(self) -> QueueFull:
        """The error for a new job above the high-water mark."""
        return rules.queue_full(self.high_water or 0.0)

    @property
    def _share(self) -> float | str:
        return "" if self.high_water is None else self.high_water

    async def waiting(self) -> int:
        """How many jobs wait to be claimed."""
        return int(await self._send(self._client, "ZCARD", self._keys.queue(ANY_GROUP)))

    async def claim(
        self,
        *,
        agent: str,
        request: str,
        dispatch_limit: float,
        count: int = 1,
        holder: str = "",
        lease: float | None = None,
        now: float | None = None,
    ) -> tuple[Claimed, ...]:
        """Give 1 to 1000 waiting jobs to `agent`: see `Store.claim`. Raises `ValueError` for numbers out of range."""
        limit = rules.check_seconds("dispatch_limit", dispatch_limit)
        size = rules.check_count("count", count)
        memory, held_memory = round(rules.REQUEST_MEMORY), round(rules.HELD_MEMORY)
        held = digest(holder) if holder else ""
        leased = "" if lease is None else rules.check_seconds("lease", lease)
        given = (agent, digest(agent, request), limit, size, ANY_GROUP, memory, held, held_memory, leased)
        flat = await self._run("claim", now, *given)
        return tuple(
            Claimed(spec=JobSpec.from_json(spec), attempt=int(attempt), claimed=float(claimed))
            for spec, attempt, claimed in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        )

    async def suspect(self, holder: str, *, now: float | None = None) -> int:
        """What this agent was given before seems lost: see `Store.suspect`."""
        young, grace = rules.SUSPECT_AFTER, rules.SUSPECT_GRACE
        return int(await self._run("suspect", now, digest(holder), young, grace))

    async def confirm(self, job: str, attempt: int, *, max_run_time: float, now: float | None = None) -> bool:
        """The agent has the job: see `Store.confirm`. The shorter of both limits counts."""
        seconds = rules.check_seconds("max_run_time", max_run_time)
        return bool(await self._run("confirm", now, job, attempt, seconds))

    async def renew(self, agent: str, held: Sequence[Held], *, now: float | None = None) -> tuple[Held, ...]:
        """The leases of this agent begin anew: see `Store.renew`."""
        rules.check_held(held)
        words = [word for one in held for word in (one.job, one.attempt, one.phase)]
        lost = await self._run("renew", now, agent, *words)
        return tuple(held[int(number) - 1] for number in lost)

    async def hand_back(self, job: str, attempt: int, *, cause: Cause, now: float | None = None) -> bool:
        """The attempt never began: see `Store.hand_back`."""
        return bool(await self._run("hand_back", now, job, attempt, cause.value))

    async def leave(self, agent: str, held: Sequence[Held], *, now: float | None = None) -> tuple[Held, ...]:
        """An agent says goodbye: see `Store.leave`."""
        rules.check_held(held)
        words = [word for one in held for word in (one.job, one.attempt)]
        back = await self._run("leave", now, agent, Cause.INFRA_PREEMPTED.value, rules.LEFT_TEXT, *words)
        return tuple(held[int(number) - 1] for number in back)

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
        fields = await self._send(self._client, "HGETALL", self._keys.job(job))
        return codec.record_from_fields(fields) if fields else None

    async def attempts(self, job: str) -> tuple[Attempt, ...]:
        """How the attempts of a job ended: see `Store.attempts`."""
        entries = await self._send(self._client, "LRANGE", self._keys.attempts(job), 0, -1)
        return tuple(map(codec.attempt_from_json, entries))

    async def finish(self, job: str, attempt: int, outcome: Outcome, *, now: float | None = None) -> Settled:
        """Settle an attempt: see `Store.finish`; the fencing is explained in `scripts/finish.lua`."""
        verdict, state, *record = await self._run(
            "finish",
            now,
            job,
            attempt,
            outcome.cause.value,
            codec.outcome_to_json(outcome),
            codec.output_to_json(outcome.output),
            rules.event_text(outcome.reason),
        )
        return Settled(
            verdict=Verdict(verdict),
            state=State(state) if state else None,
            record=_record(record[0]) if record else None,
        )

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
        names = ("time", "job", "kind", "attempt", "agent", "cause", "text")
        return tuple(
            codec.event_from_fields(ident, dict(zip(names, values, strict=True)))
            for ident, *values in written
        )

    async def trials(self) -> tuple[Trial, ...]:
        """All agents at which jobs have failed lately: see `Store.trials`."""
        lines = await self._send(self._client, "HGETALL", self._keys.trials)
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
        client = self._client
        if rules.check_seconds("block", block) > 0:
            client = self._listener
            arguments += ["BLOCK", math.ceil(block * 1000)]  # never 0: that is for ever
        arguments += ["STREAMS", self._keys.events, rules.check_event_id(after)]
        async with _answer_within(block + self._timeout):
            streams = await self._send(client, "XREAD", *arguments)
        return tuple(
            codec.event_from_fields(ident, fields) for _, entries in streams for ident, fields in entries
        )

    async def counts(self) -> Mapping[State, int]:
        """How many jobs there are in each state."""
        numbers = await self._run("counts", None, ANY_GROUP)
        states = (State.WAITING, State.RUNNING, State.DONE, State.FAILED, State.CANCELLED, State.HELD)
        return dict(zip(states, numbers, strict=True))

    async def close(self) -> None:
        """Give the connections back. Idempotent."""
        await self._client.aclose(close_connection_pool=True)
        await self._listener.aclose(close_connection_pool=True)

    async def _durability_warnings(self, info: Mapping[str, Any]) -> tuple[str, ...]:
        if not info.get("aof_enabled"):
            return (
                "appendonly is off: jobs are lost when Redis dies; set 'appendonly yes' and 'appendfsync always'",
            )
        try:
            setting: Mapping[str, str] = await self._send(self._client, "CONFIG GET", "appendfsync")
        except (_Refused, ConfigError):
            return (
                "the server does not tell its appendfsync: see to it that it is 'always', or jobs may be lost",
            )
        if (found := setting.get("appendfsync")) != "always":
            return (
                f"appendfsync is {found}: a power cut loses what was just acknowledged; set 'appendfsync always'",
            )
        return ()

    async def script(self, name: str, *arguments: str | float | bytes) -> Any:
        """Run a script of ours, for the other files of this package."""
        return await self._run(name, None, *arguments)

    async def raw(self, command: str, *arguments: str | float | bytes, wait: float | None = None) -> Any:
        """Send one command about keys of others: nobody knows what is in them, so texts in the answer are bytes.

        `wait`: how long the command itself waits, in seconds; it does so on a connection of its own.
        """
        client = self._client if wait is None else self._listener
        async with _answer_within((wait or 0.0) + self._timeout):
            return await self._send(client, command, *arguments, NEVER_DECODE=True)

    async def _run(self, name: str, now: float | None, *arguments: str | float | bytes) -> Any:
        """Run a script with all keys and the time in front of its own arguments."""
        script = _script(name)
        rest = (len(self._keys.all), *self._keys.all, "" if now is None else repr(now), *arguments)
        try:
            return await self._send(self._client, "EVALSHA", script.sha, *rest)
        except exceptions.NoScriptError:
            return await self._send(self._client, "EVAL", script.text, *rest)

    async def _send(
        self, client: Redis, command: str, *arguments: str | float | bytes, **options: bool
    ) -> Any:
        self.round_trips += 1
        untyped: Any = client
        with _our_errors():
            return await untyped.execute_command(command, *arguments, **options)


def job_values(spec: JobSpec, text: str) -> tuple[str | float, ...]:
    """What `add_job` of the scripts takes; `text` is the JSON of `spec`."""
    limit = "" if spec.max_run_time is None else repr(spec.max_run_time)
    return spec.id, text, spec.group, -spec.priority, spec.max_attempts, spec.max_user_attempts, limit


def _record(flat: Sequence[str]) -> JobRecord:
    """The record in the fields of a hash as a script returns them: names and values by turns."""
    return codec.record_from_fields(dict(zip(flat[::2], flat[1::2], strict=True)))


def check_fitness(info: Mapping[str, Any]) -> None:
    """Raise `ConfigError` if a server that says this of itself (INFO) must not be used."""
    version = str(info["redis_version"])
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST_VERSION:
        raise ConfigError(f"Redis {version}: expected 6.2 or later; install a newer server")
    if info.get("redis_mode") == "cluster":
        raise ConfigError(
            "Redis Cluster: expected a single server, or one behind Sentinel; use another server for the queue"
        )
    if (policy := info.get("maxmemory_policy")) != "noeviction":
        raise ConfigError(
            f"Redis evicts keys when memory is short (maxmemory-policy {policy}), and would lose jobs: "
            "set 'maxmemory-policy noeviction' in its configuration"
        )


class _Refused(StoreError):
    """Redis did not take a command, for a reason that will not pass by itself."""


@contextlib.asynccontextmanager
async def _answer_within(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise StoreUnavailable(f"Redis did not answer within {seconds:g} s: look whether it runs") from error


@contextlib.contextmanager
def _our_errors() -> Iterator[None]:
    """Turn what redis-py raises into errors of ours; an unknown script is the loader's affair."""
    try:
        yield
    except exceptions.NoScriptError:
        raise
    except _NO_ENTRY as error:
        raise _no_entry(error) from error
    except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
        if isinstance(error.__cause__, _NO_ENTRY):  # so redis-py tells it while it connects
            raise _no_entry(error) from error
        raise StoreUnavailable(
            f"Redis does not answer ({error}): look whether it runs and can be reached; trying again helps then"
        ) from error
    except exceptions.ResponseError as error:
        if advice := _passing(error):
            raise StoreUnavailable(f"Redis takes nothing now, {advice} ({error})") from error
        raise _Refused(
            f"Redis refused a command ({error}): look whether another program writes below our key prefix"
        ) from error


def _no_entry(error: Exception) -> ConfigError:
    return ConfigError(f"Redis refuses us ({error}): look at user name, password and rights of its account")


def _passing(error: exceptions.ResponseError) -> str | None:
    """What to do about a refusal that passes, None for one that does not."""
    word = _REFUSAL_CLASSES.get(type(error)) or next(iter(_REFUSAL.findall(str(error))), None)
    return _REFUSALS[word] if word else None
