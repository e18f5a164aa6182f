"""An idle fleet: thousands of connected, parked agents on one ejabberd, two managers, and what they cost.

    python -m bench.fleet [--agents 10000] [--window 120] [--held 90]

The agents are simulated, raw sockets in one process; each has an account of its own and speaks TLS. They log in and do
nothing else, which is what log-ins cost the server; then they ask, and are parked. Then, one after the other:

- what is said while nothing happens is counted over a window. Each agent's next sign of life is set to a moment of the
  coming ten minutes at random, as in a fleet that has been there for long, or a short window would see none;
- as many jobs as there are agents are submitted: each agent must get one, which it holds;
- the server is killed. The agents and the managers come back as they would; nobody may lose a lease. All leases are then
  held for longer than one lasts, before the jobs end and are reported.

What a fleet of slixmpp clients in one process would need is measured with a few of them. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import resource
import signal
import socket
import sys
import time
from dataclasses import dataclass

import psutil

from bench.simulated.crowd import Crowd
from bench.simulated.ours import Ours
from bench.simulated.stream import Account
from bench.system import BenchSystem, cpu_seconds, scratch, until
from copilot.job import EventKind, JobSpec, State
from copilot.store.redis import RedisStore
from copilot.transport.base import Connected
from copilot.transport.settings import XmppSettings
from copilot.transport.xmpp import XmppTransport

AT_ONCE = 100  # log-ins under way when the fleet comes up
SHOWN_WITHIN_S = 600.0  # an agent shows up once in so long
BATCH = 1000
CLIENTS = 40  # of slixmpp
SPARE_DESCRIPTORS = 200
KIB = 1024
LIMIT_S = 900.0  # for one step

Row = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Clocks and counters at one moment."""

    at: float
    managers: float  # CPU s
    server: float
    said: int
    heard: int


class Fleet:
    """One fleet on a system that runs. Its methods are the steps, in their order; each returns rows."""

    def __init__(self, system: BenchSystem, crowd: Crowd, agents: list[Ours]) -> None:
        self._system = system
        self._crowd = crowd
        self._agents = agents
        self._empty = self._memory()
        self._log_in_s = 0.0

    def log_in(self) -> list[Row]:
        """All of them, so many at a time that none has to wait for long; and once more, for that is what is compared:
        the first time each must make its SCRAM keys from the password, which costs the fleet more than the server."""
        self.log_in_once()
        self._crowd.drop()
        before, cpu = self._spent(), time.process_time()
        self.log_in_once()
        after, cpu = self._spent(), time.process_time() - cpu
        self._log_in_s = after.at - before.at
        count = len(self._agents)
        return [
            _row("log-in of the fleet", "s", self._log_in_s),
            _row("CPU of the server", "ms/log-in", (after.server - before.server) / count * 1000),
            _row("CPU of the simulated agents", "ms/log-in", cpu / count * 1000),
        ]

    def log_in_once(self) -> None:
        """All of them, as `log_in` does, without a word on what it costs."""
        waiting = iter(self._agents)

        def all_up() -> bool:
            up = self._crowd.up
            free = AT_ONCE - (len(self._crowd.agents) - up)
            for agent in itertools.islice(waiting, max(0, free)):
                self._crowd.add(agent)
            return up == len(self._agents)

        self._crowd.run(all_up, LIMIT_S, "the log-in")

    def park(self) -> list[Row]:
        """They ask for work, and find none."""
        before = self._spent()
        for number, agent in enumerate(self._agents):
            self._crowd.later(number / 500, agent.begin)  # 500 a second
        self._crowd.run(self._all_parked, LIMIT_S, "parking")
        after, count = self._spent(), len(self._agents)
        growth = (self._memory() - self._empty) / count / len(self._system.processes()["managers"])
        return [
            _row("CPU of the managers, asking and being parked", "µs/agent", _micros(before, after, count)),
            _row("memory of a manager (PSS)", "kB/agent", growth / KIB, goal=5.0, at_most=True),
        ]

    def idle(self, window: float) -> list[Row]:
        """Nothing happens."""
        for agent in self._agents:
            agent.shows_up_in(self._crowd.random.uniform(0.0, SHOWN_WITHIN_S))
        before, end = self._spent(), time.monotonic() + window
        self._crowd.run(lambda: time.monotonic() >= end, window + LIMIT_S, "idling")
        after = self._spent()
        seconds, count = after.at - before.at, len(self._agents)
        each = SHOWN_WITHIN_S / seconds / count
        share = (after.managers - before.managers) / seconds
        return [
            _row(
                f"said by an idle agent, counted for {seconds:.0f} s",
                "messages/10 min",
                (after.said - before.said) * each,
                goal=1.0,
                at_most=True,
            ),
            _row("heard by an idle agent", "messages/10 min", (after.heard - before.heard) * each),
            _row("CPU of both managers, idle", "% of a core", share * 100, goal=2.0, at_most=True),
        ]

    def give(self) -> list[Row]:
        """The jobs are being submitted: each agent gets one."""
        before = self._spent()
        self._crowd.run(lambda: all(agent.holds for agent in self._agents), LIMIT_S, "a job for each agent")
        after, count = self._spent(), len(self._agents)
        return [
            _row(
                "agents that got one of as many jobs",
                "agents",
                sum(agent.holds for agent in self._agents),
                goal=count,
            ),
            _row("from the submit until the last agent has its job", "s", after.at - before.at),
            _row("jobs that came to an agent that had one, and went back", "jobs", self._crowd.books.refused),
            _row("CPU of the managers, giving", "µs/job", _micros(before, after, count)),
        ]

    def restart(self, held: float) -> list[Row]:
        """The server is killed and started again (by its keeper); all come back, and nobody has lost a lease."""
        crowd, books, count = self._crowd, self._crowd.books, len(self._agents)
        attempts, logins = books.attempts, books.logins
        (server,) = self._system.processes()["server"]
        os.kill(server.pid, signal.SIGKILL)
        began = time.monotonic()
        crowd.run(lambda: crowd.up < count / 100, LIMIT_S, "the cut")
        crowd.run(self._server_listens, LIMIT_S, "the server's return")
        back = time.monotonic()
        crowd.run(lambda: crowd.up == count, LIMIT_S, "the return of all")
        seconds = time.monotonic() - back
        rows = [
            _row("from the kill until the server listens again", "s", back - began),
            _row("from then until all are back", "s", seconds),
            _row(
                "that, to the log-in of the fleet",
                "times",
                seconds / self._log_in_s,
                goal=1.3,
                at_most=True,
            ),
            _row("attempts to log in", "per agent", (books.attempts - attempts) / count),
            _row("log-ins", "per agent", (books.logins - logins) / count),
        ]
        end = time.monotonic() + held
        crowd.run(lambda: time.monotonic() >= end, held + LIMIT_S, "holding the leases")
        lost = books.errors["lease lost"]
        return [
            *rows,
            _row(
                "jobs lost by an agent that holds them",
                "jobs",
                lost + books.given_again,
                goal=0,
                at_most=True,
            ),
        ]

    def end(self) -> list[Row]:
        """All jobs end and are reported."""
        for agent in self._agents:
            agent.end()
        books = self._crowd.books
        self._crowd.run(lambda: books.done == len(self._agents), LIMIT_S, "the reports")
        return [_row("reports acknowledged", "reports", books.done, goal=len(self._agents))]

    def _server_listens(self) -> bool:
        server = self._system.server()
        try:
            socket.create_connection((server.host, server.port), timeout=1.0).close()
        except OSError:
            return False
        return True

    def _all_parked(self) -> bool:
        return all(agent.parked for agent in self._agents)

    def _memory(self) -> int:
        """Bytes of all managers, each one's share of what they share (PSS)."""
        return int(sum(process.memory_full_info().pss for process in self._system.processes()["managers"]))

    def _spent(self) -> Spent:
        parts, books = self._system.processes(), self._crowd.books
        return Spent(
            at=time.monotonic(),
            managers=sum(map(cpu_seconds, parts["managers"])),
            server=sum(map(cpu_seconds, parts.get("server", []))),
            said=sum(books.said.values()),
            heard=books.messages,
        )


async def slixmpp_rows(system: BenchSystem, accounts: list[Account]) -> list[Row]:
    """What one more client of the real agents' kind costs a process that has some."""
    server, own = system.server(), psutil.Process()
    transports = [
        XmppTransport(
            XmppSettings(
                jid=f"{account.name}@{server.domain}",
                password=account.password,
                resource="real",
                host=server.host,
                port=server.port,
                ca_file=system.xmpp.ca_file,
            )
        )
        for account in accounts
    ]
    sizes, cpu = [], time.process_time()
    for number, transport in enumerate(transports):
        if number == len(transports) // 2:  # what all share is there
            sizes.append(own.memory_full_info().pss)
            cpu = time.process_time()
        while not isinstance(await transport.next_event(), Connected):
            pass
    sizes.append(own.memory_full_info().pss)
    count = len(transports) - len(transports) // 2
    seconds = time.process_time() - cpu
    for transport in transports:
        await transport.close()
    return [
        _row(
            "memory of a slixmpp client in a process of many", "kB/agent", (sizes[1] - sizes[0]) / count / KIB
        ),
        _row("CPU of a slixmpp client", "ms/log-in", seconds / count * 1000),
    ]


def _micros(before: Spent, after: Spent, count: int) -> float:
    return (after.managers - before.managers) / count * 1e6


def _row(name: str, unit: str, value: float, *, goal: float | None = None, at_most: bool = False) -> Row:
    met = None if goal is None else value <= goal if at_most else value >= goal
    row: Row = {"name": name, "unit": unit, "value": round(value, 2), "goal": goal, "met": met, "rounds": []}
    print(f"{name}: {row['value']} {unit}", file=sys.stderr)
    return row


async def _taken_back(store: RedisStore) -> int:
    """How many attempts the managers took for lost, also of agents that got them back when they renewed."""
    found, last = 0, "0"
    while events := await store.events(after=last, count=BATCH):
        found += sum(event.kind is EventKind.REQUEUED for event in events)
        last = events[-1].id
    return found


async def measure(options: argparse.Namespace) -> list[Row]:
    """All steps on one system."""
    with scratch() as directory:
        system = BenchSystem(directory / "system", server="ejabberd", managers=2)
        async with system.running():
            accounts = await system.accounts(options.agents)
            crowd, server, store = Crowd(), system.server(), system.store()
            agents = [Ours(crowd, server, account, lasts=True, quiet=True) for account in accounts]
            fleet = Fleet(system, crowd, agents)
            try:
                rows = await slixmpp_rows(system, accounts[:CLIENTS])
                rows += await asyncio.to_thread(fleet.log_in)
                rows += await asyncio.to_thread(fleet.park)
                rows += await asyncio.to_thread(fleet.idle, options.window)
                given = asyncio.create_task(asyncio.to_thread(fleet.give))
                for start in range(0, options.agents, BATCH):
                    numbers = range(start, min(start + BATCH, options.agents))
                    await store.submit([JobSpec(id=f"job-{number:06}", command="true") for number in numbers])
                rows += await given
                rows += await asyncio.to_thread(fleet.restart, options.held)
                rows.append(_row("leases lost", "leases", await _taken_back(store), goal=0, at_most=True))
                rows += await asyncio.to_thread(fleet.end)

                async def settled() -> bool:
                    return bool((await store.counts())[State.DONE] == options.agents)

                await until(settled, LIMIT_S)
            finally:
                crowd.close()
                await store.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--window", type=float, default=120.0, help="s that the idle fleet is watched")
    parser.add_argument("--held", type=float, default=90.0, help="s that leases are held after the restart")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < options.agents + SPARE_DESCRIPTORS:
        sys.exit(f"{options.agents} agents need more open files than the {most} that `ulimit -Hn` allows")
    rows = asyncio.run(measure(options))
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    print(json.dumps({"rows": rows, "machine": machine}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
