"""A copilot-fileserver of its own, by HTTP without TLS, and who signs its URLs."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from copilot.cli.identity import RUN_AS
from copilot.clock import SystemClock
from copilot.files.area import FileArea
from copilot.files.signing import UrlSigner
from copilot.files.staging import DiskStaging
from copilot.local.component import Component
from copilot.local.ports import remembered_port
from copilot.local.process import give, unprivileged_user
from copilot.local.system import SERVING, command_path
from copilot.runtime.secret import load_secrets

HOST = "127.0.0.1"
INPUT = "data"
LIFETIME_S = 3600.0


class HttpArea:
    """Its files: `offer` those to fetch, `upload` says where to store."""

    def __init__(self, root: Path, base_url: str, secret: bytes) -> None:
        self._area = FileArea(root)
        self._staging = DiskStaging(self._area, agents=())
        self._signer = UrlSigner(base_url, secret, SystemClock())

    async def offer(self, job: str, source: Path) -> str:
        """Where `source` can be fetched from now on."""
        await self._staging.store(job, INPUT, source)
        return self._signer.input_url(job, INPUT, LIFETIME_S)

    def upload(self, job: str, max_size: int) -> str:
        """Where so many bytes can be stored."""
        return self._signer.output_url(job, 1, LIFETIME_S, max_size)

    async def drop(self, *jobs: str) -> None:
        """Remove what was offered or stored."""
        for job in jobs:
            await self._staging.drop(job)
            await asyncio.to_thread(self._area.drop_attempt, job, 1)


@contextlib.asynccontextmanager
async def running(directory: Path) -> AsyncIterator[HttpArea]:
    """The server as `copilot up` starts it, but without a certificate. Other users can go into `directory`."""
    user = unprivileged_user()
    for name in ("files", "state"):
        (directory / name).mkdir(mode=0o700)
        give(directory / name, user)
    secret = directory / "state" / "claim.secret"
    secrets = load_secrets(secret, SystemClock().wall())
    give(secret, user)
    address = f"{HOST}:{remembered_port(directory / 'port', HOST, 0)}"
    server = Component(
        "fileserver",
        [command_path("copilot-fileserver")],
        log=directory / "fileserver.log",
        environment={
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            **({} if user is None else {RUN_AS: user}),
            "JM_FILES_URL": f"http://{address}",
            "JM_FILES_LISTEN": address,
            "JM_FILES_DIR": str(directory / "files"),
            "JM_STATE_DIR": str(directory / "state"),
        },
        ready=SERVING,
    )
    await server.start()
    try:
        yield HttpArea(directory / "files", f"http://{address}", secrets[0])
    finally:
        await server.stop()
