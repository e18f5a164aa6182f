"""Turns any number of simulated agents in one thread, and keeps the books: who was given what, what was acknowledged."""

from __future__ import annotations

import heapq
import itertools
import select
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from bench.simulated.stream import Account, Closed, Server, Stream
from bench.simulated.wire import ID, SENDER, STANZA, TYPE_ERROR, TYPE_GET
from copilot.retry import full_jitter

LONGEST_WAIT_S = 60.0  # between two log-ins, as real agents
LOGIN_LIMIT_S = 120.0  # as `XmppSettings.login_timeout` of real agents
RESEND_S = 10.0  # the first time that a real agent says something again
LONGEST_POLL_S = 0.05


class Stuck(Exception):
    """What was to happen has not, or what must not happen has."""


@dataclass(slots=True)
class Books:
    """What all agents have seen. Jobs and claims are as they stand on the wire."""

    claims: dict[bytes, bytes] = field(default_factory=dict)  # by job: what was given last
    given_again: int = 0  # another attempt of a job that was given before
    refused: int = 0
    copies: int = 0  # the same attempt once more
    unconfirmed: dict[bytes, bytes] = field(default_factory=dict)  # reports by id: the job
    done: int = 0  # acknowledged reports
    resent: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    heard: Counter[str] = field(default_factory=Counter)  # by command
    messages: int = 0  # heard, with acknowledgements alone
    attempts: int = 0  # to log in
    logins: int = 0

    def give(self, job: bytes, claim: bytes) -> bool:
        """A job has come; whether it is a new attempt."""
        known = self.claims.get(job)
        if known == claim:
            self.copies += 1
            return False
        self.given_again += known is not None
        self.claims[job] = claim
        return True


@dataclass(slots=True)
class _InFlight:
    agent: Agent
    data: bytes
    sent: float


class Agent(ABC):
    """What kinds of simulated agents have in common: the stream, ids, and what is said until it is acknowledged."""

    def __init__(self, crowd: Crowd, server: Server, account: Account) -> None:
        self.crowd = crowd
        self.books = crowd.books
        resource = crowd.random.randbytes(8).hex()
        self.stream = Stream(server, account, resource)
        self.jid = f"{account.name}@{server.domain}".encode()
        self.full_jid = self.jid + b"/" + resource.encode()
        self.manager = server.manager.encode()
        self.flight: dict[bytes, _InFlight] = {}
        self.failures = 0
        self._rest = b""

    @abstractmethod
    def online(self) -> None:
        """The session is up."""

    @abstractmethod
    def heard(self, head: bytes, body: bytes) -> None:
        """A message: the attributes of its tag, and what is in it."""

    def met(self, head: bytes, body: bytes) -> None:  # noqa: B027  # most kinds of agents do not care
        """A presence: the attributes of its tag, and what is in it."""

    def say(self, name: str, data: bytes) -> None:
        """Say something once."""
        self.books.said[name] += 1
        if self.stream.up:
            self.crowd.send(self, data)

    def insist(self, name: str, ident: bytes, data: bytes) -> None:
        """Say something until it is acknowledged."""
        self.flight[ident] = self.crowd.flight[ident] = _InFlight(self, data, self.crowd.now)
        self.say(name, data)

    def settled(self, ident: bytes) -> None:
        """It is."""
        if self.flight.pop(ident, None) is not None:
            del self.crowd.flight[ident]
            if self.books.unconfirmed.pop(ident, None) is not None:
                self.books.done += 1
                self.reported()

    @abstractmethod
    def reported(self) -> None:
        """A report was acknowledged."""

    def came_up(self) -> None:
        """The session is there: what was not acknowledged is said again."""
        self._rest = b""
        self.failures = 0
        self.books.logins += 1
        for ident in list(self.flight):
            self.crowd.again(ident)
        self.online()

    def came(self, data: bytes) -> None:
        """Bytes of the session."""
        data = self._rest + data
        end = 0
        for found in STANZA.finditer(data):
            end = found.end()
            if found[1] == b"message":
                if TYPE_ERROR.search(found[2]):
                    self.books.errors["bounced"] += 1
                else:
                    self.books.messages += 1
                    self.heard(found[2], found[3] or b"")
            elif found[1] == b"presence":
                self.met(found[2], found[3] or b"")
            elif found[1] == b"iq" and TYPE_GET.search(found[2]) is not None:
                self._answer_ping(found[2])
        self._rest = data[end:].lstrip()
        if self._rest.startswith((b"<stream:error", b"</stream:stream")):
            raise Closed(self._rest[:300].decode())

    def _answer_ping(self, head: bytes) -> None:
        """The server asks a silent client whether it is there."""
        ident, sender = ID.search(head), SENDER.search(head)
        to = b"" if sender is None else b" to='%s'" % sender[1]
        if ident is not None:
            self.crowd.send(self, b"<iq type='result' id='%s'%s/>" % (ident[1], to))


class Crowd:
    """All agents of one thread. `now` is the time at which the present round began, in s of a clock that never jumps."""

    def __init__(self, seed: int = 1) -> None:
        self.books = Books()
        self.random = Random(seed)
        self.now = time.monotonic()
        self.flight: dict[bytes, _InFlight] = {}  # by id, oldest first
        self.agents: list[Agent] = []
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, Agent] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._prefix = self.random.randbytes(12).hex().encode()
        self._ids = itertools.count()

    def new_id(self) -> bytes:
        """36 characters, as a UUID has."""
        return b"%s%012x" % (self._prefix, next(self._ids))

    @property
    def up(self) -> int:
        """How many agents have a session."""
        return sum(agent.stream.up for agent in self.agents)

    def add(self, agent: Agent, after: float = 0.0) -> None:
        """It logs in so many seconds from now."""
        self.agents.append(agent)
        self.later(after, lambda: self._connect(agent))

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Call `do` in so many seconds."""
        heapq.heappush(self._timers, (self.now + seconds, next(self._order), do))

    def run(self, until: Callable[[], bool], limit_s: float, what: str) -> None:
        """Turn until something is the case. Raises `Stuck` after `limit_s`."""
        deadline = time.monotonic() + limit_s
        while not until():
            self.turn(LONGEST_POLL_S)
            if self.now > deadline:
                raise Stuck(f"{what}: not within {limit_s:g} s; {self._state()}")

    def turn(self, longest: float) -> None:
        """Deal with what has come, and with what is due."""
        events = self._epoll.poll(longest)
        self.now = time.monotonic()
        for descriptor, event in events:
            agent = self._by_descriptor.get(descriptor)
            if agent is not None:
                self._serve(agent, descriptor, event)
        while self._timers and self._timers[0][0] <= self.now:
            heapq.heappop(self._timers)[2]()
        self._resend()

    def send(self, agent: Agent, data: bytes) -> None:
        """Write to an agent's stream."""
        try:
            agent.stream.send(data)
        except Closed:
            return  # the kernel tells us in a moment
        if agent.stream.unsent:
            self._watch(agent)

    def again(self, ident: bytes) -> None:
        """Say something that was not acknowledged once more."""
        message = self.flight.pop(ident)
        self.flight[ident] = message
        message.sent = self.now
        self.books.resent += 1
        if message.agent.stream.up:
            self.send(message.agent, message.data)

    def drop(self) -> None:
        """Cut all connections, for good, and forget the agents."""
        for agent in self.agents:
            agent.stream.close()
        self.agents.clear()
        self._by_descriptor.clear()
        self._timers.clear()

    def close(self) -> None:
        """All connections at once."""
        for agent in self.agents:
            agent.stream.close()
        self._epoll.close()

    def _resend(self) -> None:
        while self.flight:
            ident, message = next(iter(self.flight.items()))
            if message.sent + RESEND_S > self.now:
                return
            self.again(ident)

    def _connect(self, agent: Agent) -> None:
        descriptor = agent.stream.connect()
        self.books.attempts += 1
        self._by_descriptor[descriptor] = agent
        self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLOUT)
        attempt = agent.stream.attempt

        def give_up() -> None:
            if agent.stream.attempt == attempt and agent.stream.logging_in:
                self._cut(agent, descriptor)

        self.later(LOGIN_LIMIT_S, give_up)

    def _watch(self, agent: Agent) -> None:
        assert agent.stream.socket is not None
        out = select.EPOLLOUT if agent.stream.unsent else 0
        self._epoll.modify(agent.stream.socket.fileno(), select.EPOLLIN | out)

    def _serve(self, agent: Agent, descriptor: int, event: int) -> None:
        was_up = agent.stream.up
        try:
            if event & ~select.EPOLLIN:
                agent.stream.writable()
                self._watch_if_alive(agent)
            if event & select.EPOLLIN:
                data = agent.stream.readable()
                if agent.stream.up and not was_up:
                    agent.came_up()
                if not was_up:
                    self._watch_if_alive(agent)
                if data:
                    agent.came(data)
        except Closed:
            self._cut(agent, descriptor)

    def _watch_if_alive(self, agent: Agent) -> None:
        if agent.stream.socket is not None:
            self._watch(agent)

    def _cut(self, agent: Agent, descriptor: int) -> None:
        """Its connection has ended: later, with the jitter of real agents, there is another one."""
        del self._by_descriptor[descriptor]
        agent.stream.close()  # epoll forgets it with that
        wait = full_jitter(agent.failures, LONGEST_WAIT_S, self.random.random)
        agent.failures += 1
        self.later(wait, lambda: self._connect(agent))

    def _state(self) -> str:
        books = self.books
        return (
            f"{self.up} of {len(self.agents)} agents are connected, {len(books.claims)} jobs given, {books.done} "
            f"reports acknowledged, {len(self.flight)} messages not, errors {dict(books.errors)}"
        )
