"""The generic job manager and the generic storage manager: one program, wired here (report, section 4.2)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from copilot.cli import daemon
from copilot.cli.directories import make_directory
from copilot.cli.heartbeating import with_heartbeat
from copilot.cli.metrics import showing_metrics
from copilot.cli.queue import open_store
from copilot.cli.reloading import Reloading, askers_of, people_of
from copilot.cli.reporting import reporters
from copilot.cli.securing import ServiceSecurity
from copilot.cli.storage import address_text, chirp_address, open_outputs, open_staging
from copilot.client.commands import PeoplesCommands
from copilot.client.desk import Desk
from copilot.clock import SystemClock
from copilot.config.manager import GENERIC, ManagerSettings
from copilot.enrol.errands import Errands
from copilot.enrol.logic import Enrolment
from copilot.errors import StoreUnavailable
from copilot.files.area import FileArea
from copilot.files.signing import UrlSigner
from copilot.files.staging import DiskStaging, Staging
from copilot.files.submitted import SubmittedFiles
from copilot.grid.base import JobSource
from copilot.grid.intake import StagingIntake
from copilot.grid.plugins import make_finisher, make_sources
from copilot.grid.running import running
from copilot.jobmanager.logic import JobManager, JobManagerSettings
from copilot.jobmanager.reaching import Reaching
from copilot.jobmanager.referral import StorageReferral
from copilot.jobmanager.standing import fields
from copilot.jobmanager.submissions import Submissions, SubmissionSettings
from copilot.log import rate_limited
from copilot.metrics.queue import Queue
from copilot.protocol.claim import Claims
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.envelope import bare
from copilot.protocol.limits import Throttle
from copilot.protocol.people import Includes
from copilot.protocol.rules import FEATURES, FEATURES_APART, Role
from copilot.runtime.accounts import AccountCache
from copilot.runtime.component import Component
from copilot.runtime.compose import Parts
from copilot.runtime.counts import JobCounts
from copilot.runtime.hints import hinted
from copilot.runtime.loop import Loop
from copilot.runtime.newkeys import KeyTeller
from copilot.runtime.reports import Happened
from copilot.runtime.secret import load_secrets
from copilot.runtime.status import ComponentStatus, role_in_words
from copilot.storagemanager.logic import StorageManager
from copilot.store.base import Store
from copilot.store.redis import RedisStore

log = logging.getLogger("copilot.manager")

STORE_RETRY = 5.0  # s
FOR_JOBS = (
    "request_cooldown",
    "dispatch_limit",
    "max_jobs",
    "max_input",
    "upload_lifetime",
    "queue_high_water",
)  # taken over by a reload


async def run(config: ManagerSettings, reloading: Reloading[Any]) -> int:
    """One instance, until it is asked to stop."""
    clock = SystemClock()
    make_directory(config.state_dir)
    secrets = load_secrets(config.secret_file, clock.wall())
    store = open_store(config)
    log.info("The component does not need to be waken up.")
    sources = {} if config.storage_only_mode_on else make_sources(config, store)
    finisher = None if config.queue_only_mode_on else make_finisher(config, store)
    await _check(store)
    role = Role(0)
    parts: list[Component] = []
    counts = JobCounts()
    claims = Claims(config.jabber_domain, secrets)
    urls = None if config.files_url is None else UrlSigner(config.files_url, secrets[0], clock)
    askers = askers_of(config, reloading)
    accounts = account_cache(
        config, store, askers, people_of(config, reloading, "agents", lambda new: new.agents)
    )
    secure = ServiceSecurity(config, accounts.account)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        if not config.storage_only_mode_on:
            role |= Role.JOB_MANAGER
            parts += [
                _job_manager(config, store, claims, urls, counts, secure),
                _submissions(config, store, urls, clock),
                Reaching(store),
            ]
        reloading.take(*FOR_JOBS, by=partial(_take_limits, parts, store))
        if finisher is not None:
            role |= Role.STORAGE_MANAGER
            outputs = await stack.enter_async_context(open_outputs(config, urls, finisher))
            parts.append(StorageManager(store, claims, outputs, random=random.random, counts=counts))
        elif (elsewhere := _storage_elsewhere(config)) is not None:
            role |= Role.STORAGE_MANAGER
            parts.append(StorageReferral(elsewhere))
        kind = "storagemanager.generic" if config.storage_only_mode_on else "jobmanager.generic"
        happened = Happened(events=counts.happened, durations=counts.took)
        parts.extend(reporters(config.mon_jabber_address, kind, happened, store=store))
        apart = config.storage_only_mode_on or finisher is None
        features = FEATURES_APART if apart else FEATURES
        endpoint = _endpoint(role, features, accounts, secure, _throttle(config, accounts, reloading))
        queue = Queue(store, clock.monotonic)
        status = ComponentStatus(
            f"copilot-{config.program.name}",
            endpoint,
            features,
            clock.monotonic,
            partial(_standing, queue, counts),
        )
        transport = daemon.transport(
            config,
            config.state_dir,
            f"Co-Pilot {role_in_words(role)}",
            features,
            status=status,
            askers=askers,
            commands=_commands(config, store, accounts, reloading) if role & Role.JOB_MANAGER else None,
            end=endpoint,
        )
        errands = Errands(store, transport.accounts, config.jid, wrote=counts.wrote)
        if role & Role.JOB_MANAGER:
            parts += [
                Enrolment(store, errands, domain=config.jabber_domain),
                KeyTeller(lambda: secure.ring, config.jid),
            ]
        component, performer = with_heartbeat(
            Parts(parts), config, transport, askers, members=_members(config)
        )
        loop = Loop(component, endpoint, transport, performer=performer, doorman=accounts)
        numbers = (
            counts,
            queue,
            store.numbers,
            loop.counts,
            endpoint.counts,
            transport.counts,
            secure.openings,
        )
        await stack.enter_async_context(showing_metrics(config, *numbers, directories=_directories(config)))
        await stack.enter_async_context(accounts.kept_fresh())
        await stack.enter_async_context(_at_work(sources, config, store))
        if not config.storage_only_mode_on:
            await stack.enter_async_context(_kept(loop, store, accounts, errands))
        return await daemon.turn(loop, reloading)


@contextlib.asynccontextmanager
async def _kept(loop: Loop, store: Store, accounts: AccountCache, errands: Errands) -> AsyncIterator[None]:
    """Hints are heard, and the XMPP server is brought to agree, while inside."""
    async with errands.at_work(), hinted(loop, store, accounts.hint, errands.hint):
        yield


def _endpoint(
    role: Role,
    features: Sequence[str],
    accounts: AccountCache,
    secure: ServiceSecurity,
    limits: Throttle,
) -> Endpoint:
    """Hears those whom it knows."""
    return daemon.endpoint(
        role, features=features, permits=accounts.permits, throttle=limits, security=secure.security
    )


def _throttle(config: ManagerSettings, accounts: AccountCache, reloading: Reloading[Any]) -> Throttle:
    """It hears those whom it knows, and each of them no more than it may say."""
    services = config.mon_jabber_address, config.sm_jabber_address
    limits = daemon.throttle(config, *services, known=lambda jid: accounts.standing_of(jid) is not None)
    reloading.take("rate_limit", "rate_burst", by=partial(daemon.throttle_again, limits))
    reloading.take("files_cert_file", "files_key_file", by=lambda _: None)  # the file server's
    return limits


def _take_limits(parts: Sequence[Component], store: RedisStore, new: ManagerSettings) -> None:
    """Settings `FOR_JOBS`, for who gives jobs out and who takes them; a storage manager does neither."""
    store.high_water = new.queue_high_water
    for part in parts:
        if isinstance(part, JobManager):
            part.settings = replace(
                part.settings, request_cooldown=new.request_cooldown, dispatch_limit=new.dispatch_limit
            )
        elif isinstance(part, Submissions):
            part.settings = _limits_of_submitters(new)


def _limits_of_submitters(config: ManagerSettings) -> SubmissionSettings:
    return SubmissionSettings(
        max_jobs=config.max_jobs, max_input=config.max_input, upload_lifetime=config.upload_lifetime
    )


def account_cache(config: ManagerSettings, store: Store, askers: Includes, agents: Includes) -> AccountCache:
    """Who everybody is to a manager."""
    services = (config.jid, config.mon_jabber_address, config.sm_jabber_address)
    return AccountCache(
        store,
        agents=agents,
        services=[jid for jid in services if jid is not None],
        askers=askers,
    )


def _commands(
    config: ManagerSettings, store: Store, accounts: AccountCache, reloading: Reloading[Any]
) -> PeoplesCommands | None:
    """Commands come in clear, so there are none in secure mode."""
    if config.secure_mode:
        return None
    return PeoplesCommands(store, accounts.standing_of, reload=reloading.asked)


async def _standing(queue: Queue, counts: JobCounts) -> Mapping[str, str]:
    await queue.refresh()
    return fields(counts, queue.states, store_up=queue.up)


@contextlib.asynccontextmanager
async def _at_work(
    sources: Mapping[str, JobSource], config: ManagerSettings, store: Store
) -> AsyncIterator[None]:
    """Sources bring jobs while inside."""
    async with contextlib.AsyncExitStack() as stack:
        area = None if config.files_dir is None else FileArea(config.files_dir)
        chirp = chirp_address(config)
        staging: Staging | None = None
        if area is not None or chirp is not None:
            staging = await stack.enter_async_context(open_staging(config, area, chirp))
        intake = StagingIntake(store, staging)
        await stack.enter_async_context(running(sources, intake, clock=SystemClock(), random=random.random))
        yield


def _directories(config: ManagerSettings) -> dict[str, Path]:
    """Where room is needed on a disk."""
    return {"state": config.state_dir} | ({} if config.files_dir is None else {"files": config.files_dir})


async def _check(store: Store) -> None:
    """Wait until the queue answers, say what an operator should know about it, and take it over from the version before."""
    while True:
        try:
            facts = await store.check()
            await store.take_over()
        except StoreUnavailable as error:
            rate_limited(log, "store", logging.ERROR, "%s; trying again in %.0f s", error, STORE_RETRY)
            await asyncio.sleep(STORE_RETRY)
        else:
            log.info("The queue is in %s.", facts.server)
            for warning in facts.warnings:
                log.warning("%s", warning)
            return


def _job_manager(
    config: ManagerSettings,
    store: Store,
    claims: Claims,
    urls: UrlSigner | None,
    counts: JobCounts,
    secure: ServiceSecurity,
) -> JobManager:
    chirp = chirp_address(config)
    settings = JobManagerSettings(
        require_file=config.job_require_file,
        request_cooldown=config.request_cooldown,
        dispatch_limit=config.dispatch_limit,
        lease=config.lease,
        leases=config.leases or {},
        max_run_time=config.max_run_time,
        url_lifetime=config.url_lifetime,
        chirp="" if chirp is None else address_text(chirp),
    )
    area = None if config.files_dir is None else FileArea(config.files_dir)
    return JobManager(
        store,
        claims,
        settings,
        urls=urls,
        contents=area,
        opener=secure.open_secret,
        random=random.random,
        counts=counts,
    )


def _submissions(
    config: ManagerSettings, store: Store, urls: UrlSigner | None, clock: SystemClock
) -> Submissions:
    """Takes jobs by XMPP; refuses them with a reason where files cannot come from afar."""
    settings = _limits_of_submitters(config)
    files = None
    if urls is not None and urls.takes_uploads and config.files_dir is not None:
        area = FileArea(config.files_dir)
        results = config.finisher == GENERIC and config.done_job_dir is not None
        staging = DiskStaging(area, config.chirp_agents)
        files = SubmittedFiles(area, urls, staging, serves_results=results)

    desk = Desk(store, None if config.files_dir is None else FileArea(config.files_dir))
    return Submissions(store, files, settings, wall=clock.wall, desk=desk)


def _members(config: ManagerSettings) -> list[str] | None:
    """Whom we let into the chat rooms; only a job manager does."""
    named = (*config.hb_members, config.mon_jabber_address, config.sm_jabber_address)
    return None if config.storage_only_mode_on else [word for word in named if word is not None]


def _storage_elsewhere(config: ManagerSettings) -> str | None:
    """The address of the storage manager, unless it shares ours: then it hears by itself what agents say to us."""
    address = config.sm_jabber_address
    return None if address is None or bare(address) == bare(config.jid) else address
