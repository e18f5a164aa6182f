"""Prometheus and its checker, fetched like the servers of the embedded system; and a Prometheus over some programs."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from copilot.errors import ServerMissing
from copilot.local.ports import remembered_port
from copilot.local.provision import Installed, ensure
from tests.missing import missing
from tests.patience import PATIENCE_S

ETC = Path(__file__).parents[2] / "etc" / "prometheus"
HOST = "127.0.0.1"
LIMIT_S = PATIENCE_S


@pytest.fixture(scope="session")
def promtool() -> Installed:
    """Prometheus's own checker."""
    try:
        return ensure("promtool")[0]
    except ServerMissing as error:
        missing(str(error))


class Prometheus:
    """A running one."""

    def __init__(self, port: int) -> None:
        self._url = f"http://{HOST}:{port}/api/v1"

    async def ask(self, query: str) -> list[dict[str, Any]]:
        """The answer to a query: labels and values; nothing while it starts."""
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{self._url}/query", params={"query": query}) as answer,
            ):
                return (await answer.json())["data"]["result"] if answer.status == 200 else []
        except aiohttp.ClientConnectionError:
            return []

    async def says(self, query: str) -> list[dict[str, Any]]:
        """The answer, as soon as there is one."""
        async with asyncio.timeout(LIMIT_S):
            while not (found := await self.ask(query)):
                await asyncio.sleep(0.05)
        return found


@contextlib.asynccontextmanager
async def scraping(
    promtool: Installed, directory: Path, ports: Mapping[int, int]
) -> AsyncIterator[Prometheus]:
    """A Prometheus with our sample files, but every second, and for some ports of the sample those where the programs are."""
    text = (ETC / "prometheus.yml").read_text().replace("interval: 15s", "interval: 1s")
    for sample, real in ports.items():
        assert f"{HOST}:{sample}" in text
        text = text.replace(f"{HOST}:{sample}", f"{HOST}:{real}")
    (directory / "prometheus.yml").write_text(
        text.replace("copilot-alerts.yml", str(ETC / "copilot-alerts.yml"))
    )
    port = remembered_port(directory / "prometheus.port", HOST, 0)
    argv = [
        str(promtool.program.with_name("prometheus")),
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address={HOST}:{port}",
    ]
    with (
        (directory / "prometheus.log").open("wb") as log,
        subprocess.Popen(argv, stdout=log, stderr=log, env=promtool.environment()) as process,
    ):
        try:
            yield Prometheus(port)
        finally:
            process.kill()
