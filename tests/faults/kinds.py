"""Kinds of faults: what each does to whom, and how it passes.

A kind is an asynchronous function of the ground, the name of its target and a length in seconds; it returns when the fault
has passed, and says whether it happened at all (there may have been nothing to harm).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import psutil

from copilot.agent.strays import TOKEN_VARIABLE
from tests.conftest import Server
from tests.faults import disks
from tests.faults.ground import LEASE_S, Ground

Act = Callable[[Ground, str, float], Awaitable[bool]]
SHARE = 0.05  # of the stanzas
CLOCK_JUMP_S = 3600.0
PAYLOAD_LIMIT_S = 5.0  # how long one is looked for
DELAY_S = 1.0  # of each chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """`targets`: prefixes of programs' names, or names of what else there is. `shortest`, `longest` in s."""

    name: str
    act: Act
    targets: tuple[str, ...]
    shortest: float = 0.0
    longest: float = 0.0


async def kill(ground: Ground, target: str, _: float) -> bool:
    """kill -9; it is started again."""
    return ground.programs[target].signal(signal.SIGKILL)


async def terminate(ground: Ground, target: str, _: float) -> bool:
    """As for a new version."""
    return ground.programs[target].signal(signal.SIGTERM)


async def away(ground: Ground, target: str, seconds: float) -> bool:
    """kill -9; it is started again later."""
    async with ground.programs[target].away() as happened:
        await asyncio.sleep(seconds)
    return happened


async def freeze(ground: Ground, target: str, seconds: float) -> bool:
    """SIGSTOP, and SIGCONT when its leases have run out."""
    program = ground.programs[target]
    happened = program.signal(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    program.signal(signal.SIGCONT)
    return happened


async def kill_payload(ground: Ground, target: str, _: float) -> bool:
    """As the kernel does when memory runs out."""
    jobs = str(ground.directory / "work" / target / "jobs")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PAYLOAD_LIMIT_S):
            while True:
                for process in payloads(jobs):
                    with contextlib.suppress(psutil.Error):
                        process.kill()
                        return True
                await asyncio.sleep(0.1)
    return False


def payloads(directory: str) -> list[psutil.Process]:
    """Processes of jobs that run below a directory, or have been left by them."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            environment = process.environ()
            if TOKEN_VARIABLE in environment and any(directory in value for value in environment.values()):
                found.append(process)
    return found


def _server(ground: Ground, target: str) -> Server:
    servers: dict[str, Server] = {"xmpp": ground.xmpp, "redis": ground.redis, "chirp": ground.chirp}
    return servers[target]


async def restart(ground: Ground, target: str, seconds: float) -> bool:
    """Stopped in order, and started."""
    server = _server(ground, target)
    await server.stop()
    await asyncio.sleep(seconds)
    await server.start()
    return True


async def kill_server(ground: Ground, target: str, seconds: float) -> bool:
    """kill -9, and started."""
    server = _server(ground, target)
    assert server._child is not None
    os.kill(server._child.pid, signal.SIGKILL)
    await server.wait()
    return await restart(ground, target, seconds)


async def cut(ground: Ground, target: str, _: float) -> bool:
    """The TCP connection is reset."""
    return ground.proxies[target].cut()


async def half_open(ground: Ground, target: str, _: float) -> bool:
    """Nothing comes through the connection any more, and neither end is told."""
    return ground.proxies[target].freeze()


async def slow(ground: Ground, target: str, seconds: float) -> bool:
    """What goes over the connection is late."""
    proxy = ground.proxies[target]
    proxy.delay = DELAY_S
    await asyncio.sleep(seconds)
    proxy.delay = 0.0
    return True


def stanzas(kind: str) -> Act:
    """Something happens to 5 % of the stanzas that each program sends."""

    async def act(ground: Ground, _: str, seconds: float) -> bool:
        happened = [program.tell(f"stanzas {kind} {SHARE}") for program in ground.programs.values()]
        await asyncio.sleep(seconds)
        for program in ground.programs.values():
            program.tell("stanzas sound 0")
        return any(happened)

    return act


async def fill(ground: Ground, target: str, seconds: float) -> bool:
    """The disk is full."""
    with disks.full(ground.disks[target.removeprefix("disk of ")]):
        await asyncio.sleep(seconds)
    return True


def jump(hours: float) -> Act:
    """The clock that tells the date jumps, and later back."""

    async def act(ground: Ground, target: str, seconds: float) -> bool:
        happened = ground.programs[target].tell(f"clock {hours * CLOCK_JUMP_S}")
        await asyncio.sleep(seconds)
        ground.programs[target].tell("clock 0")
        return happened

    return act


PROGRAMS = ("agent", "manager", "storage")
FROZEN = {"shortest": LEASE_S * 1.2, "longest": LEASE_S * 2}
SOME_TIME = {"shortest": 2.0, "longest": 8.0}
KINDS = (
    Kind(name="agent killed", act=kill, targets=("agent",)),
    Kind(name="manager killed", act=kill, targets=("manager",)),
    Kind(name="storage manager killed", act=kill, targets=("storage",)),
    Kind(name="program terminated", act=terminate, targets=PROGRAMS),
    Kind(name="payload killed", act=kill_payload, targets=("agent",)),
    Kind(name="agent frozen", act=freeze, targets=("agent",), **FROZEN),
    Kind(name="manager frozen", act=freeze, targets=("manager", "storage"), **FROZEN),
    Kind(name="XMPP server restarted", act=restart, targets=("xmpp",)),
    Kind(name="XMPP server killed", act=kill_server, targets=("xmpp",), longest=2.0),
    Kind(name="Redis restarted", act=restart, targets=("redis",)),
    Kind(name="Redis killed", act=kill_server, targets=("redis",), longest=2.0),
    Kind(name="connection cut", act=cut, targets=PROGRAMS),
    Kind(name="connection half-open", act=half_open, targets=PROGRAMS),
    Kind(name="connection slow", act=slow, targets=PROGRAMS, **SOME_TIME),
    Kind(name="5 % of stanzas lost", act=stanzas("lost"), targets=("stanzas",), **SOME_TIME),
    Kind(name="5 % of stanzas doubled", act=stanzas("doubled"), targets=("stanzas",), **SOME_TIME),
    Kind(name="5 % of stanzas late", act=stanzas("late"), targets=("stanzas",), **SOME_TIME),
    Kind(name="malformed stanzas", act=stanzas("malformed"), targets=("stanzas",), **SOME_TIME),
    Kind(name="disk of an agent full", act=fill, targets=("disk of agent",), **SOME_TIME),
    Kind(name="disk of the file area full", act=fill, targets=("disk of area",), **SOME_TIME),
    Kind(name="file server away", act=away, targets=("files",), **SOME_TIME),
    Kind(name="Chirp server away", act=kill_server, targets=("chirp",), **SOME_TIME),
    Kind(name="clock an hour ahead", act=jump(1), targets=(*PROGRAMS, "files"), **SOME_TIME),
    Kind(name="clock an hour behind", act=jump(-1), targets=(*PROGRAMS, "files"), **SOME_TIME),
)
