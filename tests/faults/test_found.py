"""What campaigns have found, each with the seed that showed it, reduced to what it takes."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from copilot.errors import TransferUnavailable
from copilot.files.area import SEALED
from copilot.files.chirp.authentication import Credentials
from copilot.files.chirp.server import ChirpServer
from copilot.local.chirp import ACL, Chirp
from copilot.local.process import give, unprivileged_user
from copilot.storagemanager.chirp import AgentRights

HOST = "127.0.0.1"


@pytest.fixture
async def rights(chirp_server: Chirp) -> AsyncIterator[AgentRights]:
    ours = Credentials(methods=("unix",), challenges=chirp_server.challenges)
    server = ChirpServer(HOST, chirp_server.port, credentials=ours)
    rights = AgentRights(server, ("hostname:*", "address:*"))
    await rights.check()
    yield rights
    await server.close()


@pytest.fixture
def half_made(chirp_server: Chirp) -> Path:
    """What `mkdir` leaves on a server whose disk is full: its access list is empty, and so nobody has any right."""
    directory = chirp_server.root / f"job-{uuid.uuid4().hex}"
    directory.mkdir()
    (directory / ACL).touch()
    for path in (directory / ACL, directory):
        give(path, unprivileged_user())
    return directory


async def test_seed_1_a_directory_made_on_a_full_disk_is_made_afresh_when_there_is_room(
    rights: AgentRights, half_made: Path
) -> None:
    """Else its agent asked for it again and again, held its slot and renewed its lease, and the job never ended."""
    await rights.allow(half_made.name)
    assert "hostname:* w" in (half_made / ACL).read_text()


async def test_seed_1_a_directory_made_on_a_full_disk_can_be_removed(
    rights: AgentRights, half_made: Path
) -> None:
    await rights.remove(half_made.name)
    assert not half_made.exists()


@pytest.mark.parametrize("agents", [("hostname:*",), ("hostname:*", "address:*", "unix:*")])
async def test_seeds_2_and_391129_a_manager_that_starts_while_chirps_disk_is_full_waits_and_goes_on(
    open_directory: Path, agents: tuple[str, ...]
) -> None:
    """Chirp says then that we lack rights, and the manager ended as if a setting were wrong; with the agents' subjects
    that are the default, it did so once more."""
    chirp = Chirp(open_directory / "chirp")
    await chirp.start()
    made_on_a_full_disk = chirp.root / SEALED
    made_on_a_full_disk.mkdir()
    (made_on_a_full_disk / ACL).touch()
    for path in (made_on_a_full_disk / ACL, made_on_a_full_disk):
        give(path, unprivileged_user())
    ours = Credentials(methods=("unix",), challenges=chirp.challenges)
    server = ChirpServer(HOST, chirp.port, credentials=ours)
    rights = AgentRights(server, agents)
    with pytest.raises(TransferUnavailable, match="disk is probably full"):
        await rights.check()
    assert await rights.check()
    await server.close()
    await chirp.stop()
