"""Where the files of jobs are, as the settings say: outputs for the storage manager, inputs for who submits."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from copilot.cli.directories import make_directory
from copilot.config.groups import StagingSettings
from copilot.config.kinds import Address
from copilot.config.manager import ManagerSettings
from copilot.errors import ConfigError, TransferUnavailable
from copilot.files.area import SEALED, FileArea
from copilot.files.chirp.authentication import Credentials
from copilot.files.chirp.client import ChirpClient
from copilot.files.chirp.rights import is_ticket
from copilot.files.chirp.server import ChirpServer
from copilot.files.chirp.staging import ChirpStaging
from copilot.files.signing import UrlSigner
from copilot.files.staging import DiskStaging, Staging
from copilot.grid.base import Finisher
from copilot.log import rate_limited
from copilot.storagemanager.chirp import AgentRights, ChirpStorage
from copilot.storagemanager.directories import Directories
from copilot.storagemanager.disk import DiskStorage

log = logging.getLogger("copilot.manager")

CHIRP_RETRY = 5.0  # s


def address_text(address: Address) -> str:
    """host:port, as it goes to agents."""
    return f"[{address.host}]:{address.port}" if ":" in address.host else f"{address.host}:{address.port}"


def chirp_address(config: StagingSettings) -> Address | None:
    """The Chirp server that the settings name."""
    return None if config.chirp_server is None else Address(config.chirp_server, config.chirp_port)


@asynccontextmanager
async def open_outputs(
    config: ManagerSettings, urls: UrlSigner | None, finisher: Finisher
) -> AsyncIterator[Directories]:
    """Begins when the Chirp server, if there is one, answers and lets us do our work. Raises `ConfigError`."""
    chirp, area = chirp_address(config), None
    if config.files_dir is not None:
        make_directory(config.files_dir)
        area = FileArea(config.files_dir)
    async with AsyncExitStack() as stack:
        credentials, rights = Credentials.with_ticket(config.chirp_ticket_file), None
        if chirp is not None:
            server = ChirpServer(*chirp, credentials=credentials)
            stack.push_async_callback(server.close)
            rights = AgentRights(server, config.chirp_agents)
            await _check(rights, config, area)
        storage: DiskStorage | ChirpStorage
        if area is not None:
            storage = DiskStorage(area, rights)
        else:
            assert chirp is not None  # the settings' own rules see to it
            assert rights is not None
            private = config.state_dir / "results"
            make_directory(private)
            client = ChirpClient(credentials=credentials)
            stack.push_async_callback(client.close)
            storage = ChirpStorage(client, *chirp, rights, private)
        yield Directories(
            storage,
            finisher,
            urls=urls,
            chirp="" if chirp is None else address_text(chirp),
            lifetime=config.url_lifetime,
            max_size=config.max_output,
        )


@asynccontextmanager
async def open_staging(
    config: StagingSettings, area: FileArea | None, chirp: Address | None
) -> AsyncIterator[Staging]:
    """On the disk where the area is here, else by Chirp; by Chirp also for rights that stand with a ticket."""
    tickets = any(map(is_ticket, config.chirp_agents))
    if area is not None and not (tickets and chirp is not None):
        yield DiskStaging(area, config.chirp_agents)
        return
    if chirp is None:
        raise ConfigError(
            f"where do the files of jobs go? Set {config.key('files_dir')}, {config.key('chirp_work_dir')} or "
            f"{config.key('chirp_server')}"
        )
    client = ChirpClient(credentials=Credentials.with_ticket(config.chirp_ticket_file))
    try:
        yield ChirpStaging(client, *chirp, agents=config.chirp_agents)
    finally:
        await client.close()


async def _check(rights: AgentRights, config: ManagerSettings, area: FileArea | None) -> None:
    """Wait until the Chirp server answers, and see that it lets us do our work."""
    while True:
        try:
            who = await rights.check()
        except TransferUnavailable as error:
            rate_limited(log, "chirp", logging.ERROR, "%s; trying again in %.0f s", error, CHIRP_RETRY)
            await asyncio.sleep(CHIRP_RETRY)
        else:
            break
    log.info("The Chirp server knows us as %s.", who)
    if area is not None and not os.access(area.root / SEALED, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigError(
            f"{config.key('files_dir')}: {area.root} is not the directory that the Chirp server exports, or belongs to "
            "another user: name that directory, run both as the same user, or leave "
            f"{config.key('chirp_work_dir')} unset: then files go by Chirp"
        )
