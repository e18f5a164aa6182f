"""Where a program shows its numbers."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import ClassVar

import aiohttp
import pytest

from copilot import __version__
from copilot.cli.metrics import showing_metrics
from copilot.config.groups import MetricsSettings
from copilot.config.kinds import Address
from copilot.config.setting import Program, settings
from copilot.errors import ConfigError
from copilot.protocol.endpoint import Counts
from tests.unit.metrics.scraping import read


@settings
class Config(MetricsSettings):
    program: ClassVar[Program] = Program(name="agent", prefixes=("AGENT",))


async def test_numbers_are_shown_where_the_configuration_says_and_no_longer_than_the_program_runs(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = Address(*free.getsockname())
    url = f"http://{listen.host}:{listen.port}/metrics"
    async with aiohttp.ClientSession() as session:
        metrics = showing_metrics(
            Config(metrics_listen=listen), Counts(resent=7), directories={"work": tmp_path}
        )
        async with metrics, session.get(url) as answer:
            shown = read(await answer.read())
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(url)
    assert shown["copilot_messages_resent_total"] == 7
    assert shown[f'copilot_info{{component="agent"}}{{version="{__version__}"}}'] == 1
    assert (
        0
        < shown['copilot_disk_free_bytes{directory="work"}']
        < shown['copilot_disk_size_bytes{directory="work"}']
    )


async def test_without_the_setting_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "copilot.metrics.exposition", None)  # importing it would fail
    async with showing_metrics(Config(), Counts()):
        pass


async def test_a_port_that_another_program_has_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = Address(*taken.getsockname())
        with pytest.raises(
            ConfigError,
            match=f"AGENT_METRICS_LISTEN: cannot listen on 127.0.0.1:{listen.port}: .* port of its own",
        ):
            await showing_metrics(Config(metrics_listen=listen)).__aenter__()
