"""`copilot-monitor` as a process, between a real Prosody and a real Carbon; read back through Whisper and graphite-web."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from copilot.local.prosody import Prosody
from copilot.protocol.commands import ReportEvent, ReportEventDuration, ReportEventValue
from tests.acceptance.monitoring import (
    MANAGER,
    MANAGER_EVENTS,
    MANAGER_VALUES,
    monitor,
    old_report,
    reporting,
)
from tests.acceptance.running import LIMIT_S, until
from tests.carbon.servers import Graphite
from tests.conftest import Account

MakeAccount = Callable[..., Awaitable[Account]]
PATH = f"copilot.{MANAGER}"
POLL_S = 0.2


def sums(points: dict[str, dict[int, float]]) -> dict[str, float]:
    return {path: sum(values.values()) for path, values in points.items()}


async def found(graphite: Graphite, wanted: dict[str, float]) -> dict[str, dict[int, float]]:
    """All points, as soon as these paths have these sums."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        points = await asyncio.to_thread(graphite.points)
        have = sums(points)
        if all(have.get(path) == pytest.approx(value) for path, value in wanted.items()):
            return points
        missing = {path: (value, have.get(path)) for path, value in wanted.items() if have.get(path) != value}
        assert time.monotonic() < deadline, f"wanted and found: {missing}"
        await asyncio.sleep(POLL_S)


def targets() -> list[str]:
    """All that the dashboard for Grafana asks for, all managers chosen."""
    dashboard = json.loads((Path(__file__).parents[2] / "etc" / "grafana" / "copilot.json").read_text())
    asked = [target["target"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    return [re.sub(r"\$\w+", "*", target) for target in asked]


async def quiet(graphite: Graphite) -> dict[str, dict[int, float]]:
    """All points, as soon as a sample in which nothing happened is among them."""
    async with asyncio.timeout(LIMIT_S):
        while (
            0 not in (points := await asyncio.to_thread(graphite.points))["copilot.monitor.updates"].values()
        ):
            await asyncio.sleep(POLL_S)
    return points


@pytest.mark.parametrize("door", ["line", "aggregator"])
async def test_every_path_of_the_report_is_in_carbon_with_the_right_value(
    door: str, graphite: Graphite, prosody: Prosody, account: MakeAccount, tmp_path: Path
) -> None:
    mon, jm, agent = await account("mon"), await account("jm"), await account("agent")
    began = int(time.time()) - 1
    await asyncio.gather(graphite.start_cache(), graphite.start_web(), graphite.start_aggregator())
    with monitor(
        prosody,
        mon,
        tmp_path,
        CARBON_SERVER="127.0.0.1",
        CARBON_PORT=graphite.port(door),
        MON_MANAGERS=jm.jid,
    ) as running:
        async with reporting(prosody, jm, mon.jid) as manager, reporting(prosody, agent, mon.jid) as other:
            for number, event in enumerate(MANAGER_EVENTS, 1):
                for carriage in ("body", "both", "element"):
                    for _ in range(number):
                        manager.say(
                            old_report("reportEvent", component=MANAGER, event=event), carriage=carriage
                        )
            for number, event in enumerate(MANAGER_VALUES, 1):
                manager.say(
                    old_report("reportEventValue", component=MANAGER, event=event, value=number + 0.5),
                    carriage="body",
                )
            for duration in (1, 10, 100):
                manager.say(
                    old_report("reportEventDuration", component=MANAGER, event="job.claim", duration=duration)
                )
            manager.say(
                ReportEventDuration(
                    component=MANAGER,
                    event="job.run",
                    duration=10.0,
                    count=3,
                    geometric_mean=8.0,
                    shortest=4.0,
                    longest=16.0,
                )
            )
            other.say(
                ReportEvent(component="agent", event="job.start", count=5),
                ReportEvent(component=MANAGER, event="job.forged"),
                ReportEventValue(component="agent", event="../../../../tmp/x", value=1.0),
            )
            await found(
                graphite,
                {
                    **{f"{PATH}.{event}": 3 * number for number, event in enumerate(MANAGER_EVENTS, 1)},
                    **{f"{PATH}.{event}": number + 0.5 for number, event in enumerate(MANAGER_VALUES, 1)},
                    f"{PATH}.job.claim.count": 3,
                    f"{PATH}.job.claim.start": 3,
                    f"{PATH}.job.claim.end": 3,
                    f"{PATH}.job.run.avg": 10.0,
                    f"{PATH}.job.run.gmean": 8.0,
                    f"{PATH}.job.run.min": 4.0,
                    f"{PATH}.job.run.max": 16.0,
                    f"{PATH}.job.run.count": 3,
                    **({"copilot.total.generic.job.succeeded": 3} if door == "aggregator" else {}),
                    "copilot.agent.job.start": 5,
                    "copilot.agent._._._._tmp_x": 1.0,
                },
            )
        points = await quiet(graphite)
        shown = await asyncio.to_thread(graphite.render, "copilot.jobmanager.generic.*.job.*", began)
        load = await asyncio.to_thread(graphite.render, f"{PATH}.system.load.1min", began)
        for target in targets():
            assert await asyncio.to_thread(graphite.render, target, began), target
        running.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(running.process.wait, LIMIT_S) == 0
    assert not any("forged" in path for path in points)
    assert all(path.startswith("copilot.") for path in points)
    updates = points["copilot.monitor.updates"]
    assert len(updates) == max(updates) - min(updates) + 1  # one each second, none left out
    assert sums(shown)[f"{PATH}.job.succeeded"] == 3
    assert sums(load) == {f"{PATH}.system.load.1min": MANAGER_VALUES.index("system.load.1min") + 1.5}
    lines = running.said().splitlines()
    words = [re.sub(r"^\[.{24}\] ", "", text) for text in lines]
    assert words[:2] == [
        "[info] The component does not need to be waken up.",
        "[info] The security module does not need to be waken up.",
    ]
    assert "[info] Sent 0 updates to Carbon." in words
    assert "foreign-name" in running.said()


async def test_nothing_is_missing_after_carbon_was_away(
    graphite: Graphite, prosody: Prosody, account: MakeAccount, tmp_path: Path
) -> None:
    mon, jm = await account("mon"), await account("jm")
    await graphite.start_cache()
    with monitor(
        prosody, mon, tmp_path, CARBON_SERVER="127.0.0.1", CARBON_PORT=graphite.port("line")
    ) as running:
        async with reporting(prosody, jm, mon.jid) as manager:
            said = 0
            for moment in ("there", "away", "back"):
                if moment == "away":
                    await graphite.stop("cache")
                if moment == "back":
                    await graphite.start_cache()
                for _ in range(20):
                    manager.say(ReportEvent(component=MANAGER, event="job.succeeded"))
                    said += 1
                    await asyncio.sleep(0.05)
                if moment == "away":
                    await asyncio.to_thread(until, lambda: "Kept" in running.said(), "news")
            points = await found(graphite, {f"{PATH}.job.succeeded": said})
    updates = points["copilot.monitor.updates"]
    assert len(updates) == max(updates) - min(updates) + 1
    assert set(points["copilot.monitor.dropped"].values()) == {0.0}


async def test_points_that_were_dropped_are_counted_in_carbon(
    graphite: Graphite, prosody: Prosody, account: MakeAccount, tmp_path: Path
) -> None:
    mon, jm = await account("mon"), await account("jm")
    port = graphite.port("line")
    with monitor(
        prosody, mon, tmp_path, CARBON_SERVER="127.0.0.1", CARBON_PORT=port, CARBON_BUFFER=10
    ) as running:
        async with reporting(prosody, jm, mon.jid) as manager:
            for value in range(30):
                manager.say(ReportEventValue(component=MANAGER, event="queued.Jobs", value=float(value)))
            await asyncio.to_thread(
                until, lambda: "of the oldest were dropped" in running.said(), "the warning"
            )
        await graphite.start_cache()
        async with asyncio.timeout(LIMIT_S):
            while not (dropped := (await asyncio.to_thread(graphite.points)).get("copilot.monitor.dropped")):
                await asyncio.sleep(POLL_S)
    assert max(dropped.values()) >= 20
