"""Where `copilot-job-submit` puts files, and which Chirp server it names to agents (report, section 4.6)."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from copilot.cli.storage import open_staging
from copilot.client.places import chirp_for_agents, chirp_named
from copilot.config.kinds import Address
from copilot.errors import ConfigError
from copilot.files.area import FileArea
from copilot.files.chirp.staging import ChirpStaging
from copilot.files.staging import DiskStaging
from copilot.jobmanager.config import SubmitConfig

HERE = socket.gethostname()


def config(**fields: Any) -> SubmitConfig:
    return SubmitConfig(**{"redis_server": "localhost", **fields})


@pytest.mark.parametrize(
    ("option", "fields", "told"),
    [
        (None, {}, f"{HERE}:9094"),
        (None, {"chirp_port": 9095}, f"{HERE}:9095"),
        (None, {"files_url": "https://files"}, None),
        (None, {"files_url": "https://files", "chirp_server": "chirp"}, "chirp:9094"),
        ("cervnvm12.cern.ch", {"chirp_server": "chirp", "chirp_port": 9095}, "cervnvm12.cern.ch:9095"),
        ("chirp:1234", {}, "chirp:1234"),
        ("2001:db8::1", {}, "[2001:db8::1]:9094"),
        ("[2001:db8::1]:1234", {}, "[2001:db8::1]:1234"),
    ],
)
def test_agents_are_told_of_the_server_that_was_named_or_of_this_machine(
    option: str | None, fields: dict[str, Any], told: str | None
) -> None:
    settings = config(**fields)
    assert chirp_for_agents(chirp_named(option, settings), settings) == told


@pytest.mark.parametrize("option", ["", "a b", "chirp:x", "chirp:0", "http://chirp", "1.2.3"])
def test_what_is_no_address_is_refused(option: str) -> None:
    with pytest.raises(ConfigError, match="--chirp-server"):
        chirp_named(option, config())


@asynccontextmanager
async def staging(
    tmp_path: Path, *, disk: bool, chirp: bool, agents: str = "address:*"
) -> AsyncIterator[Any]:
    area, server = FileArea(tmp_path) if disk else None, Address("localhost", 9094) if chirp else None
    async with open_staging(config(chirp_agents=(agents,)), area, server) as opened:
        yield opened


@pytest.mark.parametrize(
    ("disk", "chirp", "agents", "kind"),
    [
        (True, False, "address:*", DiskStaging),
        (True, True, "address:*", DiskStaging),
        (False, True, "address:*", ChirpStaging),
        (True, True, "ticket:abc", ChirpStaging),  # rights of a ticket are not on the disk
    ],
)
async def test_files_go_to_the_disk_where_that_is_enough(
    tmp_path: Path, disk: bool, chirp: bool, agents: str, kind: type
) -> None:
    async with staging(tmp_path, disk=disk, chirp=chirp, agents=agents) as opened:
        assert type(opened) is kind


async def test_without_a_place_for_files_it_says_which_settings_name_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="JM_FILES_DIR, JM_CHIRP_WORK_DIR or JM_CHIRP_SERVER"):
        async with staging(tmp_path, disk=False, chirp=False):
            pass
