"""Co-Pilot for programs in Python: `copilot.Client` and `copilot.Executor`, connected as the settings say.

Settings are those of `copilot submit`: the queue's own, or with `remote` those of an account of one's own (SUBMIT_…).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Container, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from copilot.cli import from_afar
from copilot.cli.known import known_keys
from copilot.cli.queue import open_store
from copilot.cli.storage import open_staging
from copilot.client import api, executor
from copilot.client.access import Access
from copilot.client.afar import RemoteAccess
from copilot.client.api import Options
from copilot.client.at_queue import QueueAccess
from copilot.client.calls import PYTHON
from copilot.client.places import area_here, chirp_for_agents, chirp_named
from copilot.client.secrets import Keys
from copilot.config import load
from copilot.jobmanager.config import SubmitConfig

__all__ = ["Client", "Executor", "Options", "connected"]

log = logging.getLogger("copilot.client")


class Client(api.Client):
    """A way to the system, open between `async with`:

    async with copilot.Client() as client:
        job = await client.submit("simulate.sh", ["--seed", "7"])
        (await client.result(job, into="results")).check()
    """

    def __init__(self, config: Path | str | None = None, *, remote: bool = False) -> None:
        """`config` is a configuration file or directory; None: as for `copilot submit`. `remote`: by XMPP, from any machine."""
        super().__init__(partial(connected, config, remote=remote))


class Executor(executor.Executor):
    __doc__ = executor.Executor.__doc__

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        config: Path | str | None = None,
        remote: bool = False,
        initializer: Callable[..., object] | None = None,
        initargs: Sequence[Any] = (),
        name: str = "call",
        python: str = PYTHON,
        trusted: Container[str] | None = None,
        **options: Unpack[Options],
    ) -> None:
        """`config` and `remote` as for `Client`, all else as for `copilot.client.executor.Executor`.

        Raises `ValueError`, TypeError, `BadName`. That the settings are wrong is said by the first future (`ExecutorBroken`).
        """
        super().__init__(
            partial(connected, config, remote=remote),
            max_workers=max_workers,
            initializer=initializer,
            initargs=initargs,
            name=name,
            python=python,
            trusted=trusted,
            **options,
        )


@asynccontextmanager
async def connected(config: Path | str | None = None, *, remote: bool = False) -> AsyncIterator[Access]:
    """The way to the system that the settings name. Raises `ConfigError`, and from afar `TransportError`."""
    place = None if config is None else Path(config)
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(_from_afar(place) if remote else _at_queue(place))


@asynccontextmanager
async def _at_queue(place: Path | None) -> AsyncIterator[Access]:
    config, warnings = await asyncio.to_thread(load, SubmitConfig, place, os.environ, known=known_keys)
    _warn(warnings)
    chirp = chirp_named(None, config)
    store = open_store(config)
    try:
        async with open_staging(config, area_here(None, config), chirp) as staging:
            access = QueueAccess(
                store,
                staging,
                done=config.done_job_dir,
                chirp_server=chirp_for_agents(chirp, config),
                keys=Keys(file=config.public_keys_file, service=config.jm_jabber_address),
            )
            try:
                yield access
            finally:
                await access.close()
    finally:
        await store.close()


@asynccontextmanager
async def _from_afar(place: Path | None) -> AsyncIterator[Access]:
    config, warnings = await asyncio.to_thread(from_afar.read_settings, place)
    _warn(warnings)
    with from_afar.own_files(config) as complete:
        async with from_afar.session(complete) as session:
            yield RemoteAccess(
                session,
                project=complete.project or "",
                keys=Keys(file=complete.public_keys_file, service=complete.jm_jabber_address),
            )


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        log.warning("%s", warning)
