"""A real system at work and in trouble, with secrets that can be told apart: each stands where it belongs and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from copilot.runtime.secret import load_secrets
from tests.acceptance.running import LIMIT_S, Up, VariedSystem, processes_of, script
from tests.acceptance.shown import Shown

IN_ENVIRONMENT = "canary-of-a-plug-in-5b1e07"
PROGRAMS = ("JM", "SM", "JM_FILES", "AGENT", "MON")
DEBUG = "dispatchers = screen\nscreen.class = Log::Dispatch::Screen\nscreen.min_level = debug\nscreen.stderr = 1\n"
SIGNATURE = re.compile(rb"[?&]s=[A-Za-z0-9_-]{20,}")
LARGE = 40_000  # bytes: more than goes with a message, so it goes by a signed URL

# Whatever a payload can find out; of its agent it is the same user.
PRIES = """
env
for process in /proc/[0-9]*; do
    cat $process/environ $process/cmdline 2>/dev/null
done | tr '\\0' '\\n'
cat shared >/dev/null
head -c 40000 /dev/urandom >out
ulimit -Hc
"""


@pytest.fixture
async def system(up: Up, place: Path) -> AsyncIterator[VariedSystem]:
    """One with a monitor, all of whose programs log at `debug` and have a secret in their environment."""
    system, shown = VariedSystem(up.directory, agents=1, monitor=True), Shown(up.directory, PROGRAMS)
    shown.switch_on(system)
    logger = place / "logger.conf"
    logger.write_text(DEBUG)
    logger.chmod(0o644)
    levels = [(f"{name}_LOGGER_CONFIG_FILE", str(logger)) for name in ("JM", "SM", "AGENT", "MON")]
    system.more = (*system.more, *levels, ("FINISHER_CANARY_TOKEN", IN_ENVIRONMENT))
    async with system.running():
        yield system


def secrets_of(system: VariedSystem) -> dict[str, bytes]:
    """All that are known before anything happens, by what they are."""
    found = {"in the environment": IN_ENVIRONMENT.encode()}
    for path in (*system.places.etc.glob("*.conf"), *system.places.agents.glob("*.conf")):
        for key, value in re.findall(r"^(\w+_PASSWORD) (.+)$", path.read_text(), re.MULTILINE):
            found[f"{key} of {path.name}"] = value.encode()
    for secret in load_secrets(next(system.places.state.glob("*.secret")), 0.0):
        found["the secret of claims"] = secret.hex().encode()
    assert len(found) >= 5
    return found


def texts(system: VariedSystem) -> Iterator[tuple[str, bytes]]:
    """Everything that anybody writes, but for the configuration: files, outputs, processes."""
    places = system.places
    homes = (places.log, places.done, places.work, places.area, places.root / "redis")
    for path in (path for home in homes for path in home.rglob("*") if path.is_file()):
        if path.suffix == ".tgz":
            with tarfile.open(path) as package:
                for member in package:
                    if member.isfile() and (file := package.extractfile(member)):
                        yield f"{path}: {member.name}", file.read()
        elif path.name not in ("redis.conf", "password"):  # its own, 0600
            yield str(path), path.read_bytes()
    for process in processes_of(places.root):
        for what in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                yield f"{what} of {process.pid}", Path(f"/proc/{process.pid}/{what}").read_bytes()
    for core in places.root.rglob("core*"):
        yield f"{core} is a core file", b"canary"


async def test_no_secret_is_anywhere_but_where_it_belongs(up: Up, system: VariedSystem, place: Path) -> None:
    known = secrets_of(system)
    shared = place / "shared"
    shared.write_bytes(os.urandom(LARGE))
    prying = script(place / "pry.sh", PRIES)
    record = await asyncio.to_thread(up.job, prying, "--input", shared)
    assert record["state"] == "done"
    assert (await asyncio.to_thread(up.job, script(place / "bad.sh", "exit 3")))["state"] == "failed"
    await trouble(system)
    await asyncio.to_thread(up.job, prying, "--input", shared)
    said = dict(texts(system))
    said |= await pages(system, up)
    shown = await asyncio.to_thread(up.job, script(place / "again.sh", "true"))
    said["its record"] = str(shown).encode()
    leaks = [
        f"{what} in {where}"
        for where, text in said.items()
        for what, secret in known.items()
        if secret in text
    ]
    assert leaks == []
    assert any(
        "debug" in text.decode(errors="replace")
        for where, text in said.items()
        if where.endswith("jobmanager.log")
    )
    logs = {where: text for where, text in said.items() if where.endswith(".log")}
    assert [where for where, text in logs.items() if SIGNATURE.search(text)] == []
    assert any(where.endswith("stdout") and b"COPILOT_JOB_ID" in text for where, text in said.items())


async def trouble(system: VariedSystem) -> None:
    """A signed URL that was tampered with, a manager that dies with SIGABRT, the kind of death that leaves a core file."""
    url = f"http://127.0.0.1:1/x?e=1&s={'A' * 43}"
    config = (system.places.etc / "Copilot.conf").read_text()
    base = re.search(r"^JM_FILES_URL (.+)$", config, re.MULTILINE)
    assert base
    async with aiohttp.ClientSession() as session:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(base[1] + "/x.a0/y?" + url.partition("?")[2], ssl=False) as answer:
                assert answer.status in (403, 404)
    pid = manager(system)
    os.kill(pid, signal.SIGABRT)
    async with asyncio.timeout(LIMIT_S):
        while manager(system) in (0, pid):
            await asyncio.sleep(0.05)


def manager(system: VariedSystem) -> int:
    """Its pid; 0 if it does not run."""
    for process in processes_of(system.places.root):
        with contextlib.suppress(psutil.Error):
            if any(word.endswith("copilot-jobmanager-generic") for word in process.cmdline()):
                return process.pid
    return 0


async def pages(system: VariedSystem, up: Up) -> dict[str, bytes]:
    """What the dashboard and the metrics show."""
    urls = [system.dashboard, f"{system.dashboard}api/now"]
    shown = Shown(up.directory, PROGRAMS)
    urls += [f"http://127.0.0.1:{shown.port(name)}/metrics" for name in ("SM", "JM_FILES", "AGENT", "MON")]
    found = {}
    async with aiohttp.ClientSession() as session:
        for url in urls:
            async with session.get(url) as answer:
                found[url] = await answer.read()
    return found
