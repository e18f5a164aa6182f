"""Runs the peers and ourselves, one round of each in turn, so that a change of the machine's mood meets all of them.

In each round one of them is started afresh, warmed up, given both jobs one after the other, and stopped: nothing else
runs meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import statistics
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.peers import environments
from bench.peers.environments import Environment, NotMeasured
from copilot.local import provision
from copilot.local.process import Child

ROOT = Path(__file__).parents[2]
LIMIT_S = 400.0  # for one round of one peer, with its start and its end
GRACE_S = 30.0  # some peers take their time to stop
REDIS_LIMIT_S = 20.0
TAIL_LINES = 15


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Who is measured, and how often its Redis goes to the disk (`appendfsync`; None: it uses none)."""

    peer: str
    appendfsync: str | None = None


@dataclass(frozen=True, kw_only=True)
class Round:
    """One batch of one job, as the peer's program tells it."""

    peer: str
    version: str
    durability: str
    job: str
    jobs: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """All rounds of one peer at one job, in jobs a second."""

    name: str
    version: str
    durability: str
    job: str
    jobs_per_second: float
    rounds: tuple[float, ...]


OURS = "copilot"
CONTENDERS = (
    Contender(peer="ray"),
    Contender(peer="dask"),
    Contender(peer="parsl"),
    Contender(peer="work_queue"),
    *(
        Contender(peer=peer, appendfsync=policy)
        for peer in (OURS, "celery", "dramatiq", "rq")
        for policy in ("everysec", "always")
    ),
)


def prepare(contenders: Iterable[Contender]) -> tuple[dict[Contender, Environment], dict[str, str]]:
    """What can be measured here, and for the other peers why not. Takes a minute the first time."""
    contenders = list(contenders)
    found: dict[str, Environment] = {}
    missing: dict[str, str] = {}
    for peer in dict.fromkeys(contender.peer for contender in contenders):
        try:
            found[peer] = environments.ensure(peer)
        except NotMeasured as reason:
            missing[peer] = str(reason)
    return {one: found[one.peer] for one in contenders if one.peer in found}, missing


async def one_round(contender: Contender, environment: Environment, *, jobs: int) -> list[Round]:
    """Both jobs, `jobs` times each. Raises RuntimeError for a wrong result or a peer that fails."""
    with tempfile.TemporaryDirectory(prefix="peer-") as name:
        directory = Path(name)
        async with contextlib.AsyncExitStack() as stack:
            variables = dict(environment.variables)
            if contender.peer == OURS:  # the embedded system has a Redis of its own
                variables["BENCH_APPENDFSYNC"] = str(contender.appendfsync)
            elif contender.appendfsync:
                redis = _redis(directory, contender.appendfsync)
                variables["BENCH_REDIS_SOCKET"] = str(await stack.enter_async_context(redis))
            lines = await _run(contender.peer, environment.python, variables, jobs, directory)
    return [Round(**json.loads(line)) for line in lines]


def results(rounds: Iterable[Round]) -> list[Result]:
    """The median of each peer, job and durability, in the order of their first round."""
    grouped: dict[tuple[str, str, str, str], list[float]] = {}
    for one in rounds:
        named = (one.peer, one.version, one.durability, one.job)
        grouped.setdefault(named, []).append(round(one.jobs / one.seconds, 1))
    return [
        Result(
            name=name,
            version=version,
            durability=durability,
            job=job,
            jobs_per_second=statistics.median(speeds),
            rounds=tuple(speeds),
        )
        for (name, version, durability, job), speeds in grouped.items()
    ]


async def measure(
    contenders: Mapping[Contender, Environment], *, rounds: int, jobs: int
) -> tuple[list[Result], dict[str, str]]:
    """Round 1 of each, round 2 of each, and so on; and who failed, with the reason: that one sits out what is left."""
    done: list[Round] = []
    failed: dict[Contender, str] = {}
    for _ in range(rounds):
        for contender in (one for one in contenders if one not in failed):
            try:
                done += await one_round(contender, contenders[contender], jobs=jobs)
            except RuntimeError as error:
                failed[contender] = str(error)
    return results(done), {one.peer: reason for one, reason in failed.items()}


async def _run(
    peer: str, python: Path, variables: Mapping[str, str], jobs: int, directory: Path
) -> Sequence[str]:
    """The lines that a peer's program prints. They go through a file: a pipe would wait for all its children."""
    output, errors = directory / "output", directory / "errors"
    with output.open("wb") as out, errors.open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            python,
            "-m",
            f"bench.peers.{peer}",
            f"--jobs={jobs}",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=directory,
            env={**_environment(python, directory), **variables},
        )
        try:
            status = await asyncio.wait_for(process.wait(), LIMIT_S)
        finally:
            await _stop(process)
    if status != 0:
        tail = "\n".join(errors.read_text(errors="replace").splitlines()[-TAIL_LINES:])
        raise RuntimeError(f"{peer} ended with status {status}. The end of what it said:\n{tail}")
    return output.read_text().splitlines()


def _environment(python: Path, home: Path) -> dict[str, str]:
    """Enough to find the peer's own programs and our modules; nobody is told that it ran.

    The home is the round's directory: Ray, for one, leaves a key there.
    """
    return {
        "PATH": f"{python.parent}:{provision.SYSTEM_PATH}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PARSL_TRACKING": "false",
        "C_FORCE_ROOT": "1",
    }


async def _stop(process: asyncio.subprocess.Process) -> None:
    """A peer that is told to end ends its own children; see `harness`."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE_S)
    if process.returncode is None:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def _redis(directory: Path, appendfsync: str) -> AsyncIterator[Path]:
    """The socket of a Redis of its own, empty, with an append-only file."""
    server = provision.require("redis-server")
    socket = directory / "redis.socket"
    to_disk = ("--dir", directory, "--save", "", "--appendonly", "yes", "--appendfsync", appendfsync)
    child = await Child.start(
        [server.program, "--port", "0", "--unixsocket", socket, *to_disk],
        log=directory / "redis.log",
        user=None,
        env=server.environment(),
        cwd=directory,
    )
    try:
        await child.wait_until(socket.exists, limit_s=REDIS_LIMIT_S)
        yield socket
    finally:
        await child.stop()
