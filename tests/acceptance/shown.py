"""The metrics of the programs of a system, as Prometheus would read them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import aiohttp

from copilot.local.ports import remembered_port
from tests.acceptance.running import LIMIT_S, VariedSystem
from tests.unit.metrics.scraping import read

HOST = "127.0.0.1"


class Shown:
    """What the programs show that belong to these prefixes of the setting `…_METRICS_LISTEN`."""

    def __init__(self, directory: Path, programs: Sequence[str]) -> None:
        self._directory = directory
        self._programs = programs

    def switch_on(self, system: VariedSystem) -> None:
        """Have its programs show metrics; before it runs."""
        ports = {program: self.port(program) for program in self._programs}
        system.more = tuple(
            (f"{program}_METRICS_LISTEN", f"{HOST}:{port}") for program, port in ports.items()
        )

    def port(self, program: str) -> int:
        return remembered_port(self._directory.with_name(f"{program}.port"), HOST, 0)

    async def by(self, program: str) -> dict[str, float]:
        """What one program shows now."""
        url = f"http://{HOST}:{self.port(program)}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return read(await answer.read())

    async def sums(self) -> Counter[str]:
        """Over all programs."""
        found: Counter[str] = Counter()
        for program in self._programs:
            found.update(await self.by(program))
        return found

    async def once(self, condition: Callable[[Counter[str]], bool], limit_s: float = LIMIT_S) -> Counter[str]:
        """The sums, as soon as they are as wanted; TimeoutError after `limit_s` seconds."""
        async with asyncio.timeout(limit_s):
            while not condition(sums := await self.sums()):
                await asyncio.sleep(0.02)
        return sums
