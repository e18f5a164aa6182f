"""Inputs on a real chirp_server that is started as the report does it: directories without an access list are closed."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from copilot.errors import TransferCorrupt, TransferRefused
from copilot.files.area import FileArea
from copilot.files.chirp.authentication import Credentials
from copilot.files.chirp.client import ChirpClient
from copilot.files.chirp.server import ChirpServer
from copilot.files.chirp.staging import ChirpStaging
from copilot.files.chirp.ticket import Ticket
from copilot.files.staging import DiskStaging, Staging
from copilot.local.chirp import Chirp
from tests.unit.files.chirp_serving import contents
from tests.unit.files.serving import facts_of, make_file, names_below

pytestmark = pytest.mark.server("chirp")

HOST = "127.0.0.1"
AGENTS = ("hostname:*", "address:*", "unix:*")


class ClosedChirp(Chirp):
    """Without `--inherit-default-acl`, as in listing 4.1 of the report."""

    def _arguments(self) -> list[str]:
        return [item for item in super()._arguments() if item != "--inherit-default-acl"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A place for inputs, who puts them there and who fetches them."""

    staging: Staging
    chirp: Chirp
    job: str
    agent: ChirpClient
    owner: ChirpServer

    def url(self, name: str) -> str:
        return f"chirp://{HOST}:{self.chirp.port}/{self.job}.a0/{name}"


@pytest.fixture(params=["on the disk", "by the protocol"])
async def side(request: pytest.FixtureRequest, open_directory: Path) -> AsyncIterator[Side]:
    chirp = ClosedChirp(open_directory / "chirp")
    await chirp.start()
    ours = ChirpClient(credentials=Credentials(methods=("unix",), challenges=chirp.challenges))
    agent = ChirpClient(credentials=Credentials(methods=("hostname", "address")))
    staging: Staging = DiskStaging(FileArea(chirp.root), AGENTS)
    if request.param == "by the protocol":
        staging = ChirpStaging(ours, HOST, chirp.port, agents=AGENTS)
    job = uuid.uuid4().hex
    yield Side(staging=staging, chirp=chirp, job=job, agent=agent, owner=ours.server(HOST, chirp.port))
    await agent.close()
    await ours.close()
    await chirp.stop()


async def test_agents_read_what_was_staged_and_change_nothing(side: Side, tmp_path: Path) -> None:
    source = make_file(tmp_path / "source", b"data")
    for name in ("run.sh", "deep/er/field_map"):
        assert await side.staging.store(side.job, name, source) == facts_of(b"data")
        assert await side.agent.get(side.url(name), tmp_path / "got") == facts_of(b"data")
        with pytest.raises(TransferRefused, match="no right"):
            await side.agent.put(source, side.url(name), facts=facts_of(b"data"))
    agent = side.agent.server(HOST, side.chirp.port)
    assert set(await agent.list(f"{side.job}.a0")) == {"run.sh", "deep"}  # as agents of 2011 look
    with pytest.raises(TransferRefused, match="no right"):
        await agent.setacl(f"{side.job}.a0", "address:*", "rwl")


async def test_who_runs_the_server_keeps_all_rights_on_what_was_staged(side: Side, tmp_path: Path) -> None:
    await side.staging.store(side.job, "deep/in", make_file(tmp_path / "source", b"data"))
    ours = await side.owner.whoami()
    for path in (f"{side.job}.a0", f"{side.job}.a0/deep"):
        access = await side.owner.getacl(path)
        assert set("rwlda") <= set(access.pop(ours))
        assert access == dict.fromkeys(AGENTS, "rl")
    await side.owner.put(f"{side.job}.a0/deep/more", 1, contents(b"x"))


async def test_dropping_leaves_nothing_and_can_be_repeated(side: Side, tmp_path: Path) -> None:
    await side.staging.store(side.job, "deep/in", make_file(tmp_path / "source", b"data"))
    for _ in range(2):
        await side.staging.drop(side.job)
    assert not (side.chirp.root / f"{side.job}.a0").exists()


async def test_inputs_that_a_tool_of_2011_put_are_moved_out_of_the_reach_of_their_job(
    side: Side, tmp_path: Path
) -> None:
    assert not await side.staging.adopt(side.job)
    await side.owner.mkdir(side.job)
    await side.owner.setacl(side.job, "address:*", "rwl")
    await side.owner.mkdir(f"{side.job}/deep")
    for name in ("run.sh", "deep/in"):
        await side.owner.put(f"{side.job}/{name}", 4, contents(b"data"))
    assert await side.staging.adopt(side.job)
    assert await side.staging.adopt(side.job)
    for name in ("run.sh", "deep/in"):
        assert await side.agent.get(side.url(name), tmp_path / "got") == facts_of(b"data")
        with pytest.raises(TransferRefused, match="no right"):
            await side.agent.put(tmp_path / "got", side.url(name), facts=facts_of(b"data"))
    await side.owner.mkdir(side.job)  # that of the first attempt
    assert await side.staging.adopt(side.job)
    assert side.job in await side.owner.list("/")


async def test_what_cannot_be_read_here_is_refused(side: Side, tmp_path: Path) -> None:
    with pytest.raises(TransferRefused, match="nowhere"):
        await side.staging.store(side.job, "in", tmp_path / "nowhere")
    await side.staging.drop(side.job)
    assert side.job not in "".join(names_below(side.chirp.root))


async def test_a_source_that_changes_on_the_way_is_not_stored_by_the_protocol(
    chirp_server: Chirp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copilot.files.chirp.staging._facts", lambda _path: facts_of(b"date"))
    client = ChirpClient(credentials=Credentials(methods=("unix",), challenges=chirp_server.challenges))
    staging, job = ChirpStaging(client, HOST, chirp_server.port, agents=AGENTS), uuid.uuid4().hex
    with pytest.raises(TransferCorrupt, match="changed since"):
        await staging.store(job, "in", make_file(tmp_path / "source", b"data"))
    await staging.drop(job)
    await client.close()


async def test_where_agents_have_a_ticket_nobody_else_reads(chirp_server: Chirp, tmp_path: Path) -> None:
    ticket = Ticket.create()
    ours = ChirpClient(credentials=Credentials(methods=("unix",), challenges=chirp_server.challenges))
    owner, job = ours.server(HOST, chirp_server.port), uuid.uuid4().hex
    await owner.register_ticket(ticket, 60)
    staging = ChirpStaging(ours, HOST, chirp_server.port, agents=(ticket.subject,))
    await staging.store(job, "deep/in", make_file(tmp_path / "source", b"data"))
    url = f"{chirp_server.url}/{job}.a0/deep/in"
    holder = ChirpClient(credentials=Credentials(methods=("ticket",), tickets=(ticket,)))
    assert await holder.get(url, tmp_path / "got") == facts_of(b"data")
    stranger = ChirpClient(credentials=Credentials(methods=("hostname", "address")))
    with pytest.raises(TransferRefused, match="no right"):
        await stranger.get(url, tmp_path / "got")
    await staging.drop(job)
    await owner.delete_ticket(ticket)
    for client in (ours, holder, stranger):
        await client.close()
