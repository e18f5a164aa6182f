"""The generic job manager and the generic storage manager: one program, wired here (report, section 4.2)."""

from __future__ import annotations

import asyncio
import logging
import random
from urllib.parse import quote

from copilot.cli import daemon
from copilot.clock import SystemClock
from copilot.config.groups import QueueSettings
from copilot.config.manager import ManagerSettings
from copilot.errors import StoreUnavailable
from copilot.files.area import FileArea
from copilot.files.signing import UrlSigner
from copilot.jobmanager.logic import JobManager, JobManagerSettings
from copilot.protocol.claim import Claims
from copilot.protocol.rules import Role
from copilot.runtime.component import Component
from copilot.runtime.compose import Parts
from copilot.runtime.loop import Loop
from copilot.runtime.secret import load_secrets
from copilot.storagemanager.directories import Directories
from copilot.storagemanager.logic import StorageManager, StorageManagerSettings
from copilot.store.base import Store
from copilot.store.redis import RedisStore

log = logging.getLogger("copilot.manager")

STORE_RETRY = 5.0  # s


async def run(config: ManagerSettings) -> int:
    """One instance, until it is asked to stop."""
    clock = SystemClock()
    daemon.make_directory(config.state_dir)
    secrets = load_secrets(config.secret_file, clock.wall())
    store = open_store(config)
    log.info("The component does not need to be waken up.")
    log.info("The security module does not need to be waken up.")
    await _check(store)
    role = Role(0)
    parts: list[Component] = []
    claims = Claims(config.jabber_domain, secrets)
    urls = None if config.files_url is None else UrlSigner(config.files_url, secrets[0], clock)
    if not config.storage_only_mode_on:
        role |= Role.JOB_MANAGER
        parts.append(_job_manager(config, store, claims, urls))
    if not config.queue_only_mode_on:
        role |= Role.STORAGE_MANAGER
        parts.append(_storage_manager(config, store, claims, urls))
    transport = daemon.transport(config, config.state_dir, "Co-Pilot manager")
    try:
        return await daemon.turn(Loop(Parts(parts), daemon.endpoint(role), transport))
    finally:
        await store.close()


def open_store(config: QueueSettings) -> RedisStore:
    """The queue that the settings name; connects when first used."""
    password = "" if config.redis_password is None else quote(config.redis_password, safe="")
    if config.redis_socket is not None:
        return RedisStore.from_url(
            f"unix://{config.redis_socket}" + (f"?password={password}" if password else "")
        )
    host = config.redis_server or ""
    address = f"[{host}]" if ":" in host else host
    return RedisStore.from_url(
        f"redis://{f':{password}@' if password else ''}{address}:{config.redis_port}/0"
    )


async def _check(store: Store) -> None:
    """Wait until the queue answers, and say what an operator should know about it."""
    while True:
        try:
            facts = await store.check()
        except StoreUnavailable as error:
            log.error("%s; trying again in %.0f s", error, STORE_RETRY)
            await asyncio.sleep(STORE_RETRY)
        else:
            log.info("The queue is in %s.", facts.server)
            for warning in facts.warnings:
                log.warning("%s", warning)
            return


def _job_manager(config: ManagerSettings, store: Store, claims: Claims, urls: UrlSigner | None) -> JobManager:
    settings = JobManagerSettings(
        require_file=config.job_require_file,
        request_cooldown=config.request_cooldown,
        dispatch_limit=config.dispatch_limit,
        max_run_time=config.max_run_time,
        url_lifetime=config.url_lifetime,
    )
    return JobManager(store, claims, settings, urls=urls, random=random.random)


def _storage_manager(
    config: ManagerSettings, store: Store, claims: Claims, urls: UrlSigner | None
) -> StorageManager:
    assert config.files_dir is not None  # the settings' own rules see to it
    assert config.done_job_dir is not None
    daemon.make_directory(config.files_dir)
    daemon.make_directory(config.done_job_dir)
    outputs = Directories(
        FileArea(config.files_dir),
        config.done_job_dir,
        urls,
        lifetime=config.url_lifetime,
        max_size=config.max_output,
    )
    address = f"{config.chirp_server}:{config.chirp_port}" if config.chirp_server else ""
    return StorageManager(
        store, claims, outputs, StorageManagerSettings(address=address), random=random.random
    )
