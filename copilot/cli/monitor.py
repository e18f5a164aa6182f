"""`copilot-monitor`: gathers what components report and hands it to Carbon (report, section 4.4)."""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import AsyncIterator, Mapping, Sequence

from copilot.cli import daemon
from copilot.cli.heartbeating import with_heartbeat
from copilot.cli.metrics import showing_metrics
from copilot.cli.reporting import reporters
from copilot.clock import SystemClock
from copilot.monitor.carbon import CarbonLine, CarbonSettings, Points, carrying
from copilot.monitor.config import MonitorConfig
from copilot.monitor.counts import MonitorCounts
from copilot.monitor.logic import Monitor
from copilot.monitor.names import Names
from copilot.monitor.paths import KnownPaths
from copilot.protocol.rules import FEATURES, Role
from copilot.runtime.compose import Parts
from copilot.runtime.loop import Loop
from copilot.runtime.reports import Happened
from copilot.runtime.status import ComponentStatus

log = logging.getLogger("copilot.monitor")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    return daemon.main(MonitorConfig, "Gathers what components report, for Carbon.", run, arguments)


async def run(config: MonitorConfig) -> int:
    """Until it is asked to stop."""
    clock, counts = SystemClock(), MonitorCounts()
    log.info("The component does not need to be waken up.")
    log.info("The security module does not need to be waken up.")
    if config.managers is None:
        log.info("A manager's name belongs to the account that uses it first (MON_MANAGERS is not set).")
    monitor = Monitor(
        Names(allow=config.allow, managers=config.managers, own=config.jid),
        KnownPaths(config.max_paths),
        interval=config.sample_interval,
        wall=clock.wall,
        counts=counts,
    )
    endpoint = daemon.endpoint(Role.MONITOR)

    async def standing() -> Mapping[str, str]:
        return counts.standing()

    status = ComponentStatus("copilot-monitor", endpoint, FEATURES, clock.monotonic, standing)
    transport = daemon.transport(config, config.state_dir, "Co-Pilot monitor", status=status)
    async with contextlib.AsyncExitStack() as stack:
        carbon = await stack.enter_async_context(_carbon(config, counts, clock))
        parts = Parts([monitor, *reporters(config.jid, "monitor", Happened(events=dict))])
        component, performer = with_heartbeat(parts, config, transport, performer=Points(carbon))
        loop = Loop(component, endpoint, transport, performer=performer, clock=clock)
        numbers = (counts, loop.counts, endpoint.counts, transport.counts)
        metrics = showing_metrics(config, *numbers, directories={"state": config.state_dir})
        await stack.enter_async_context(metrics)
        return await daemon.turn(loop)


@contextlib.asynccontextmanager
async def _carbon(
    config: MonitorConfig, counts: MonitorCounts, clock: SystemClock
) -> AsyncIterator[CarbonLine | None]:
    """The line to Carbon while inside; None without CARBON_SERVER."""
    if config.carbon_server is None:
        yield None
        return
    settings = CarbonSettings(
        host=config.carbon_server,
        port=config.carbon_port,
        buffer=config.carbon_buffer,
        repeat=config.carbon_repeat,
    )
    async with carrying(CarbonLine(settings, counts, clock=clock, random=random.random)) as line:
        yield line
