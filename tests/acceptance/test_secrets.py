"""A real system at work and in trouble, with secrets that can be told apart: each stands where it belongs and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import signal
import tarfile
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest

import copilot
from copilot.local.process import give, unprivileged_user
from copilot.local.redis import Redis
from copilot.runtime.secret import load_secrets
from tests.acceptance.running import LIMIT_S, Up, VariedSystem, processes_of, run, script, service, until
from tests.acceptance.shown import Shown
from tests.acceptance.test_secure import Site, site_fixture

__all__ = ["site_fixture"]

OF_A_JOB = "canary-of-a-job-9c41d2"
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
    below = (Path(folder, name) for home in homes for folder, _, names in os.walk(home) for name in names)
    for path in below:
        with contextlib.suppress(FileNotFoundError):  # the agent tidies up behind a job meanwhile
            if path.suffix == ".tgz":
                with tarfile.open(path) as package:
                    for member in package:
                        if member.isfile() and (file := package.extractfile(member)):
                            yield f"{path}: {member.name}", file.read()
            elif path.is_file() and path.name not in ("redis.conf", "password"):  # its own, 0600
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


async def _from_python(site: Site, job: Path, value: Path) -> bytes:
    """What that job prints, with the secret."""
    async with copilot.Client(site.etc) as client:
        ident = await client.submit(job, secrets={"token": value})
        (await client.result(ident, timeout=LIMIT_S)).check()
        return b"".join([data async for data in client.tail(ident)])


@pytest.mark.parametrize("site", ["prosody"], indirect=True)
def test_a_jobs_secret_reaches_the_payload_of_a_sealed_agent_and_nothing_else(
    site: Site, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run("copilot", "keys", "generate", "service", site.service_keys, **service())
    assert made.returncode == 0, made.stderr
    give(site.service_keys, unprivileged_user())
    site.share_keys()
    value, told = site.place / "token", {"JM_PUBLIC_KEYS_FILE": str(site.place / "work" / "services.pub")}
    value.write_text(OF_A_JOB)
    job = script(
        site.place / "job.sh", 'stat -c %a "$COPILOT_SECRETS"/token; md5sum <"$COPILOT_SECRETS"/token; env'
    )
    submit = ("copilot-job-submit", "--config", site.etc, "--id", "secretive", "--command", job)
    site.configure(JM_SECURE_MODE=0, AGENT_SECURE_MODE=0)  # those who move over, and those who have not yet
    asyncio.run(site.record(has_key=False))
    with site.manager("one"):
        with site.agent("clear"):
            for _ in range(2):  # once more changes nothing
                done = run(*submit, "--secret", f"token={value}", **told, **service())
                assert done.returncode == 0, done.stderr
            site.does_a_job("plain")
            shown = run("copilot", "jobs", "show", "secretive", "--config", site.etc, **service())
            assert "secrets    token" in shown.stdout
            assert "sealed session" in shown.stdout
        asyncio.run(site.record())
        site.configure(JM_SECURE_MODE=0)
        with site.agent("sealed"):
            package = site.place / "done" / "secretive" / "secretive.tgz"
            until(package.exists, "the job is done")
            monkeypatch.setenv("JM_PUBLIC_KEYS_FILE", told["JM_PUBLIC_KEYS_FILE"])
            assert b"400\n" in asyncio.run(_from_python(site, job, value))
    with tarfile.open(package) as output:
        (stdout,) = (output.extractfile(one) for one in output if one.name.endswith("stdout"))
        assert stdout is not None
        said = stdout.read().decode()
    assert said.split()[:2] == ["400", hashlib.md5(OF_A_JOB.encode()).hexdigest()]
    facts = run("copilot", "jobs", "show", "secretive", "--json", "--config", site.etc, **service())
    assert json.loads(facts.stdout)["spec"]["secrets"] == ["token"]
    seen = {
        "output": said,
        "show": facts.stdout + shown.stdout,
        "logs": "".join(map(site.said, ("one", "clear", "sealed"))),
    }
    for directory in (
        site.place / "work",
        site.place / "files",
        site.place / "state",
        redis_server.directory,
    ):
        for path in (path for path in directory.rglob("*") if path.is_file()):
            seen[str(path)] = path.read_bytes().decode(errors="replace")
    plain = (OF_A_JOB, b64encode(OF_A_JOB.encode()).decode())
    assert [where for where, text in seen.items() if any(form in text for form in plain)] == []
    assert not list(Path("/dev/shm").glob("copilot-*/secretive*"))
