"""Where a manager shows its numbers."""

from __future__ import annotations

import socket

import aiohttp
import pytest

from copilot.cli.metrics import showing_metrics
from copilot.config.kinds import Address
from copilot.errors import ConfigError
from copilot.metrics.queue import Queue
from copilot.metrics.table import Sources
from copilot.protocol.endpoint import Counts
from copilot.runtime.counts import JobCounts
from copilot.store.memory import MemoryStore

KEY = "JM_METRICS_LISTEN"


def sources() -> Sources:
    return Sources(jobs=JobCounts(), messages=Counts(), queue=Queue(MemoryStore(), lambda: 0.0))


async def test_numbers_are_shown_where_the_configuration_says_and_no_longer_than_the_manager_runs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = Address(*free.getsockname())
    url = f"http://{listen.host}:{listen.port}/metrics"
    async with aiohttp.ClientSession() as session:
        async with showing_metrics(listen, sources(), key=KEY), session.get(url) as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(url)


async def test_a_port_that_another_program_has_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = Address(*taken.getsockname())
        with pytest.raises(
            ConfigError, match=f"{KEY}: cannot listen on 127.0.0.1:{listen.port}: .* port of its own"
        ):
            await showing_metrics(listen, sources(), key=KEY).__aenter__()
