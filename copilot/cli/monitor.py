"""`copilot-monitor`: gathers what components report and hands it to Carbon (report, section 4.4)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial

import copilot
from copilot.cli import daemon
from copilot.cli.certificates import ServerCertificate
from copilot.cli.dashboard import certificate_of, showing_dashboard
from copilot.cli.heartbeating import with_heartbeat
from copilot.cli.metrics import showing_metrics
from copilot.cli.queue import open_store
from copilot.cli.reloading import Reloading, askers_of, people_of
from copilot.cli.reporting import reporters
from copilot.cli.securing import ServiceSecurity
from copilot.client.explain import explain
from copilot.client.explaining.words import clipped
from copilot.clock import SystemClock
from copilot.monitor.board import Why
from copilot.monitor.carbon import CarbonLine, CarbonSettings, Points, carrying
from copilot.monitor.config import MonitorConfig
from copilot.monitor.counts import MonitorCounts
from copilot.monitor.logic import Monitor
from copilot.monitor.names import Names
from copilot.monitor.paths import KnownPaths
from copilot.monitor.records import Records
from copilot.monitor.storeboard import StoreBoard
from copilot.protocol.rules import FEATURES, Role
from copilot.runtime.compose import Parts
from copilot.runtime.loop import Loop
from copilot.runtime.reports import Happened
from copilot.runtime.status import ComponentStatus
from copilot.store.redis import RedisStore

log = logging.getLogger("copilot.monitor")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    what = "Shows in a browser how the system fares, and hands what components report to Carbon."
    return daemon.main(MonitorConfig, what, run, arguments)


async def run(config: MonitorConfig, reloading: Reloading[MonitorConfig]) -> int:
    """Until it is asked to stop."""
    clock, counts = SystemClock(), MonitorCounts()
    log.info("The component does not need to be waken up.")
    if config.managers is None:
        log.info("A manager's name belongs to the account that uses it first (MON_MANAGERS is not set).")
    allow = people_of(config, reloading, "allow", lambda new: new.allow)
    monitor = Monitor(
        Names(allow=allow, managers=config.managers, own=config.jid),
        KnownPaths(config.max_paths),
        interval=config.sample_interval,
        wall=clock.wall,
        counts=counts,
    )
    store = open_store(config) if config.sees_queue else None
    records = None if store is None else Records(store)
    secure = ServiceSecurity(config) if records is None else ServiceSecurity(config, records.cache.account)
    throttle = daemon.throttle(config, *(config.managers or ()))
    reloading.take("rate_limit", "rate_burst", by=partial(daemon.throttle_again, throttle))
    certificate = certificate_of(config)
    reloading.on("dashboard_cert_file", "dashboard_key_file", prepare=certificate.renew)
    askers = askers_of(config, reloading)
    endpoint = daemon.endpoint(
        Role.MONITOR,
        throttle=throttle,
        security=secure.security,
        permits=(lambda _, __: True) if records is None else records.permits,
    )

    async def standing() -> Mapping[str, str]:
        return counts.standing()

    status = ComponentStatus("copilot-monitor", endpoint, FEATURES, clock.monotonic, standing)
    transport = daemon.transport(
        config, config.state_dir, "Co-Pilot monitor", status=status, askers=askers, end=endpoint
    )
    async with contextlib.AsyncExitStack() as stack:
        if store is not None:
            stack.push_async_callback(store.close)
        if records is not None:
            await stack.enter_async_context(records.cache.kept_fresh(wait=False))
        carbon = await stack.enter_async_context(_carbon(config, counts, clock))
        parts = Parts([monitor, *reporters(config.jid, "monitor", Happened(events=dict))])
        component, performer = with_heartbeat(parts, config, transport, askers, performer=Points(carbon))
        # The managers, which keep the chat rooms, let us in then, and tell at once how they fare.
        owner = config.room_owner
        loop = Loop(
            component,
            endpoint,
            transport,
            performer=performer,
            announce_to=owner,
            doorman=records,
            clock=clock,
        )
        await stack.enter_async_context(_dashboard(config, store, monitor, clock, certificate))
        numbers = (counts, loop.counts, endpoint.counts, transport.counts, secure.openings)
        queue = () if store is None else (store.numbers,)
        metrics = showing_metrics(config, *numbers, *queue, directories={"state": config.state_dir})
        await stack.enter_async_context(metrics)
        return await daemon.turn(loop, reloading)


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


@contextlib.asynccontextmanager
async def _dashboard(
    config: MonitorConfig,
    store: RedisStore | None,
    monitor: Monitor,
    clock: SystemClock,
    certificate: ServerCertificate,
) -> AsyncIterator[None]:
    """The dashboard while inside; there is none where nobody said where the queue is (`store` None)."""
    if config.dashboard_listen is None:
        yield
        return
    if store is None:
        log.warning("There is no dashboard: MON_REDIS_SERVER does not say where the queue is.")
        yield
        return

    async def why(job: str) -> Why:
        reason = await explain(store, job)
        return Why(code=reason.code.value, text=clipped(reason.text), next=clipped(reason.next))

    board = StoreBoard(
        store,
        components=lambda _: monitor.components(),
        clock=clock,
        version=copilot.__version__,
        explain=why,
    )
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(_following(board))
        await stack.enter_async_context(showing_dashboard(config, board, store, certificate=certificate))
        yield


@contextlib.asynccontextmanager
async def _following(board: StoreBoard) -> AsyncIterator[None]:
    """It hears what happens in the queue while inside."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (mistake := task.exception()) is not None:
            log.error("The dashboard shows nothing new any more; start the monitor again.", exc_info=mistake)

    task = asyncio.create_task(board.run())
    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
