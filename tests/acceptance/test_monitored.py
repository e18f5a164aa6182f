"""The embedded system with its monitor in front of a real Carbon: all that section 2.3.2 of the report names, with the right
values, also when Carbon was away in between.

`OUTAGE=60` has Carbon away for so many seconds at least.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from copilot.config.kinds import Address
from copilot.host import MEBIBYTE
from copilot.job import State
from copilot.local.configuration import DOMAIN, MANAGER, Passwords
from copilot.local.redis import Redis
from copilot.protocol import codec
from copilot.protocol.commands import JobDone
from copilot.protocol.envelope import Envelope
from copilot.runtime.reports import EVENTS_EVERY
from copilot.store.redis import RedisStore
from copilot.transport.base import Connected
from copilot.transport.settings import XmppSettings
from copilot.transport.xmpp import XmppTransport
from tests.acceptance.running import VariedSystem, run, script
from tests.carbon.servers import Graphite

OUTAGE = max(
    2 * EVENTS_EVERY, float(os.environ.get("OUTAGE", "0"))
)  # s; what happens meanwhile is reported meanwhile
LIMIT_S = 60.0
POLL_S = 0.2
PATH = "copilot.jobmanager.generic.jobmanager"
# Section 2.3.2, with what this machine has for a disk and an interface; "#": one or more of them.
PATHS = (
    "job.succeeded",
    "job.failed",
    "queued.Jobs",
    "error.invalidJobId",
    "error.emptyQueue",
    "system.disk.available.#",
    "system.disk.used.#",
    "system.load.1min",
    "system.load.5min",
    "system.load.15min",
    "system.net.in.#",
    "system.net.out.#",
    "system.ram.used.mem",
    "system.ram.used.swap",
    "system.ram.available.mem",
    "system.ram.available.swap",
)
DURATIONS = ("start", "end", "avg", "gmean", "min", "max")

Points = Mapping[str, Mapping[int, float]]


class Monitored(VariedSystem):
    """A sample a second."""

    more = (("MON_SAMPLE_INTERVAL", "1"),)


def total(points: Points, name: str) -> float:
    return sum(points.get(f"{PATH}.{name}", {}).values())


async def found(graphite: Graphite, **wanted: float) -> Points:
    """All points, as soon as these events have happened so often."""
    have: dict[str, float] = {}
    async with asyncio.timeout(LIMIT_S):
        while have != wanted:
            points = await asyncio.to_thread(graphite.points)
            have = {name: total(points, name.replace("_", ".", 1)) for name in wanted}
            await asyncio.sleep(POLL_S)
    return points


async def settled(store: RedisStore, *, done: int, failed: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            counts = await store.counts()
            if (counts[State.DONE], counts[State.FAILED]) == (done, failed):
                return
            await asyncio.sleep(POLL_S)


async def report_on_no_job(system: Monitored) -> None:
    """An agent says that it has done a job that there is not."""
    account = "agent-2"  # the spare one
    transport = XmppTransport(
        XmppSettings(
            jid=f"{account}@{DOMAIN}",
            password=Passwords(system.places.root / "passwords").of(account),
            resource="stranger",
            host="127.0.0.1",
            port=system._prosody.port,
            ca_file=system._prosody.ca_file,
        )
    )
    try:
        assert isinstance(await transport.next_event(), Connected)
        info = codec.encode(JobDone(job_id="no-such-job", exit_code=0, state="done"))
        to = f"{MANAGER}@{DOMAIN}/jobmanager"
        assert transport.send(Envelope(to=to, id=str(uuid.uuid4()), element=info))
    finally:
        await transport.close()


def there(points: Points, name: str) -> dict[str, float]:
    """The last value of each path that has this form."""
    head = f"{PATH}.{name.removesuffix('#')}"
    paths = [path for path in points if path == head or (name.endswith("#") and path.startswith(head))]
    return {path: points[path][max(points[path])] for path in paths if points[path]}


def submit(system: Monitored, command: Path, count: int) -> None:
    options = ("--config", system.places.etc, "--command", command, "--count", count)
    ended = run("copilot-job-submit", *options)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.timeout(max(240, 4 * OUTAGE))
async def test_carbon_has_every_path_of_the_report_although_it_was_away_in_between(
    graphite: Graphite, place: Path
) -> None:
    good, bad = script(place / "good.sh", "true"), script(place / "bad.sh", "exit 3")
    await graphite.start_cache()
    carbon = Address("127.0.0.1", graphite.port("line"))
    system = Monitored(place / "system", agents=1, monitor=True, carbon=carbon)
    async with system.running():
        store = RedisStore.from_url(Redis(system.places.root / "redis").url)
        try:
            await asyncio.to_thread(submit, system, good, 3)
            await settled(store, done=3, failed=0)
            await found(graphite, job_succeeded=3)
            await graphite.kill("cache")
            went = time.time()
            await asyncio.to_thread(submit, system, good, 4)
            await asyncio.to_thread(submit, system, bad, 2)
            await settled(store, done=7, failed=2)
            await report_on_no_job(system)
            log = system.log_of("monitor")
            async with asyncio.timeout(LIMIT_S + OUTAGE):  # while samples come that Carbon does not get
                while time.time() - went < OUTAGE or "is away" not in log.read_text():
                    await asyncio.sleep(POLL_S)
            await graphite.start_cache()
            came = time.time()
            wanted = {
                "job_succeeded": 7,
                "job_failed": 2,
                "error_invalidJobId": 1,
                "job_start": 9,
                "job_end": 9,
            }
            points = await found(graphite, **wanted)
        finally:
            await store.close()
    missing = [name for name in PATHS if not there(points, name)]
    missing += [name for name in DURATIONS if not there(points, f"job.{name}")]
    assert missing == []
    missed = points[f"{PATH}.job.failed"]
    assert all(went - 1 <= moment <= came + 1 for moment in missed), (
        "they keep the times at which they happened"
    )
    updates = points["copilot.monitor.updates"]
    away = [moment for moment in updates if went + 1 < moment < came - 1]
    assert len(away) >= came - went - 4, "each second of the outage has its sample"
    assert sum(points["copilot.monitor.dropped"].values()) == 0
    assert there(points, "queued.Jobs") == {f"{PATH}.queued.Jobs": 0.0}
    assert total(points, "error.emptyQueue") >= 1
    memory, disk = psutil.virtual_memory(), psutil.disk_usage("/")
    (available,) = there(points, "system.ram.available.mem").values()
    assert available == pytest.approx(memory.available / MEBIBYTE, rel=0.3)
    assert any(
        value == pytest.approx(disk.used / MEBIBYTE, rel=0.1)
        for value in there(points, "system.disk.used.#").values()
    )
    mean, shortest, longest = (there(points, f"job.{name}") for name in ("avg", "min", "max"))
    assert (
        0 < max(shortest.values()) <= max(mean.values()) <= max(longest.values()) < 1000 * (came - went + 60)
    )
