"""Tells agents what somebody wants of them: to stop a job, to leave, to show what a job has printed.

Wishes are in the queue, so any instance may carry them out. A hint on its channel makes all look at once; without one each looks every
few seconds. What is not confirmed is said again then.
"""

from __future__ import annotations

import logging
import math
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple

from copilot.job import one_line
from copilot.log import JobRef, PeerRef
from copilot.protocol.commands import CancelJob, Command, Drain, JobOutput, TailJob
from copilot.protocol.envelope import bare
from copilot.protocol.events import Received
from copilot.protocol.rules import FEATURE_OUTPUT
from copilot.runtime.component import Actions, Ignore, Send
from copilot.store.base import Store
from copilot.store.reach import Reach
from copilot.store.watched import LONGEST_CHUNK, Stream, Wanted

log = logging.getLogger("copilot.jobmanager")

TOLD_AT_ONCE = 100  # agents in one round that somebody wants to leave
CANCELLED_AT_ONCE = 1000  # jobs in one round
BETWEEN_ROUNDS = 0.05  # s, however many hints come
SAY_AGAIN = 2.0  # s until an agent is told the same again; a round without a hint comes no sooner
LOOK_EVERY = 0.3  # s while somebody wants to see an output
MOST_NOTE = 200  # characters
NOT_SHOWN = "its agent is of an older version, which shows nothing of a running job"


class _Said(NamedTuple):
    """An attempt, and who has it."""

    job: str
    attempt: int
    agent: str


class Telling:
    """Part of the job manager's logic. `now` is in seconds of a clock that never jumps."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._told = 0  # how many of the agents that somebody wants to leave were told in this turn
        self._said: dict[_Said, float] = {}  # which attempts were to be stopped, and when we said so
        self._leaving: dict[str, float] = {}  # which agents were told to leave, and when
        self._next_look: float | None = None  # at outputs that somebody wants to see
        self._next_round: float | None = None  # a hint has come shortly after the last round
        self._last_round = -math.inf

    def wakeup(self) -> float | None:
        """When to call `due`."""
        return min((when for when in (self._next_look, self._next_round) if when is not None), default=None)

    def hinted(self, now: float) -> Actions | Awaitable[Actions]:
        """There is something to tell. Where hints come one upon the other, one round serves many."""
        if now - self._last_round >= BETWEEN_ROUNDS:
            return self.all(now)
        self._next_round = self._last_round + BETWEEN_ROUNDS
        return []

    def due(self, now: float) -> Callable[[float], Awaitable[Actions]] | None:
        """What has to be called now, if anything: its time has come, and does not come again by itself."""
        if self._next_round is not None and self._next_round <= now:
            self._next_round = None
            return self.all
        if self._next_look is not None and self._next_look <= now:
            self._next_look = None
            return self.ask
        return None

    def all(self, now: float) -> Awaitable[Actions]:
        """What there is to tell; also what was said some seconds ago and is not confirmed."""
        self._last_round, self._next_round, self._next_look = now, None, None
        return self._all(now)

    async def _all(self, now: float) -> Actions:
        return [*await self._cancel(now), *await self._drain(now), *await self.ask(now)]

    async def _cancel(self, now: float) -> list[Send]:
        wanted = await self._store.cancelling(limit=CANCELLED_AT_ONCE)
        names = {_Said(one.job, one.attempt, one.agent): one for one in wanted}
        self._said = {name: when for name, when in self._said.items() if name in names}
        new = [one for name, one in names.items() if now - self._said.get(name, -math.inf) >= SAY_AGAIN]
        self._said |= {_Said(one.job, one.attempt, one.agent): now for one in new}
        reach = await self._reach(one.agent for one in new)
        return [_to(one.agent, reach, CancelJob(job_id=one.job, attempt=one.attempt)) for one in new]

    async def _drain(self, now: float) -> list[Send]:
        """Tell some of the agents that somebody wants to leave, in the next round the next ones; nobody again and again with each hint."""
        agents = await self._store.draining(skip=self._told, limit=TOLD_AT_ONCE)
        self._told = self._told + TOLD_AT_ONCE if len(agents) == TOLD_AT_ONCE else 0
        self._leaving = {agent: when for agent, when in self._leaving.items() if now - when < SAY_AGAIN}
        new = [agent for agent in agents if agent not in self._leaving]
        self._leaving |= dict.fromkeys(new, now)
        reach = await self._reach(new)
        return [_to(agent, reach, Drain()) for agent in new]

    async def ask(self, now: float) -> Actions:
        """Ask agents for outputs that somebody wants to see."""
        wishes = await self._store.wanted()
        if wishes.next is not None:
            self._next_look = now + LOOK_EVERY
        reach = await self._reach(one.agent for one in wishes.wanted)
        actions = []
        for one in wishes.wanted:
            known = reach.get(one.agent)
            if not one.leased or (known is not None and FEATURE_OUTPUT not in known.features):
                await self._store.shown(one.job, one.stream, one.attempt, note=NOT_SHOWN)
            else:
                actions.append(_to(one.agent, reach, _question(one)))
        return actions

    async def heard(self, received: Received, answer: JobOutput, now: float) -> Actions:
        """An agent shows part of an output. Only of a job that it has."""
        try:
            stream, data = Stream(answer.stream), b64decode(answer.data, validate=True)
        except ValueError:
            return [_ignored(received, "neither stdout nor stderr, or no base64")]
        record = await self._store.get(answer.job_id)
        if record is None or record.agent != bare(received.sender) or record.attempt != answer.attempt:
            return [_ignored(received, "output of a job that its sender does not have")]
        if len(data) > LONGEST_CHUNK:
            return [_ignored(received, f"more than {LONGEST_CHUNK} bytes of output at once")]
        note = one_line((answer.note or "")[:MOST_NOTE])
        more = await self._store.shown(
            answer.job_id,
            stream,
            answer.attempt,
            offset=answer.offset,
            data=data,
            size=max(answer.size, answer.offset + len(data)),
            note=note,
        )
        log.debug("%s: %s shows %d bytes", JobRef(answer.job_id), PeerRef(received.sender), len(data))
        return await self.ask(now) if more else []

    async def _reach(self, agents: Iterable[str]) -> Mapping[str, Reach]:
        named = list(dict.fromkeys(agents))
        return await self._store.reach(named) if named else {}


def _to(agent: str, reach: Mapping[str, Reach], command: Command) -> Send:
    """Where it has spoken last; of whom nothing is known, whatever session the server finds."""
    known = reach.get(agent)
    if known is None:
        return Send(to=agent, command=command)
    return Send(to=known.jid, command=command, session=known.session)


def _question(one: Wanted) -> TailJob:
    before = -one.offset if one.offset < 0 else None
    offset = None if one.offset < 0 else one.offset
    return TailJob(job_id=one.job, attempt=one.attempt, stream=one.stream.value, offset=offset, last=before)


def _ignored(received: Received, text: str) -> Ignore:
    return Ignore(received=received, reason="no-output", text=text)
