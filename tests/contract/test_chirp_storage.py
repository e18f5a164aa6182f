"""Outputs on a real Chirp server: who may write when, what is published, and what hostile agents may try.

Everything holds whether the manager has the server's directory on its disk or has only the protocol.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from copilot.errors import ConfigError, TransferCorrupt, TransferRefused, TransferUnavailable
from copilot.files.area import SEALED, FileArea
from copilot.files.chirp.authentication import Credentials
from copilot.files.chirp.client import ChirpClient
from copilot.files.chirp.protocol import NOT_AUTHORIZED
from copilot.files.chirp.server import ChirpServer, _nothing, _opened, code_of
from copilot.files.chirp.ticket import Ticket
from copilot.grid.done import DoneDirectory
from copilot.job import Output, alias
from copilot.local.chirp import Chirp
from copilot.storagemanager.chirp import AgentRights, ChirpStorage
from copilot.storagemanager.directories import Directories
from copilot.storagemanager.disk import DiskStorage
from tests.unit.files.chirp_serving import contents
from tests.unit.files.serving import facts_of
from tests.unit.storagemanager.records import settled

pytestmark = pytest.mark.server("chirp")

HOST = "127.0.0.1"
AGENTS = ("hostname:*", "address:*", "unix:*")
DATA = b"the packed output"
OUTPUT = Output(size=len(DATA), sha256=facts_of(DATA).sha256)


class Agent:
    """Whoever comes from this machine: it has no rights but those of agents."""

    def __init__(self, server: ChirpServer) -> None:
        self.server = server

    async def upload(self, job: str, attempt: int = 1, data: bytes = DATA) -> None:
        """As agents of 2011 do it."""
        name = alias(job, attempt)
        await self.server.put(f"{name}/{name}.tgz", len(data), contents(data))

    async def link(self, target: str, path: str) -> None:
        await self.server._ask(path, _nothing, "symlink", target, path)

    async def open(self, path: str) -> int:
        return await self.server._ask(path, _opened, "open", path, "w", 0o600)

    async def write_opened(self, descriptor: int, data: bytes) -> None:
        line = f"pwrite {descriptor} {len(data)} 0\n".encode() + data
        await self.server._work("", lambda connection: connection.ask(line, _nothing))


class Manager:
    """One manager with its Chirp server."""

    def __init__(self, chirp: Chirp, state: Path, *, on_disk: bool, agents: tuple[str, ...] = AGENTS) -> None:
        self.chirp = chirp
        self.job = uuid.uuid4().hex
        self.done, self.private = state / "done", state / "results"
        for path in (self.done, self.private):
            path.mkdir(parents=True)
        ours = Credentials(methods=("unix",), challenges=chirp.challenges)
        self.server = self._connect(ours)
        self.agent = Agent(self._connect(Credentials(methods=("hostname", "address"))))
        self._contents = ChirpClient(credentials=ours)
        self.rights = AgentRights(self.server, agents)
        storage: DiskStorage | ChirpStorage
        if on_disk:
            storage = DiskStorage(FileArea(chirp.root), self.rights)
        else:
            storage = ChirpStorage(self._contents, HOST, chirp.port, self.rights, self.private)
        self.outputs = Directories(storage, DoneDirectory(self.done), lifetime=60.0, max_size=1000)

    def _connect(self, credentials: Credentials) -> ChirpServer:
        return ChirpServer(HOST, self.chirp.port, credentials=credentials)

    @property
    def published(self) -> bytes:
        return (self.done / self.job / f"{self.job}.tgz").read_bytes()

    def of_the_job(self) -> list[str]:
        """What is left of it, anywhere on the server and with the manager."""
        places = (self.chirp.root, self.chirp.root / SEALED, self.private)
        return [path.name for place in places for path in place.iterdir() if path.name.startswith(self.job)]

    async def close(self) -> None:
        await self.server.close()
        await self.agent.server.close()
        await self._contents.close()


@pytest.fixture(params=["on the disk", "by the protocol"])
async def manager(
    request: pytest.FixtureRequest, chirp_server: Chirp, tmp_path: Path
) -> AsyncIterator[Manager]:
    manager = Manager(chirp_server, tmp_path, on_disk=request.param == "on the disk")
    await manager.rights.check()
    yield manager
    await manager.close()


async def test_an_output_goes_its_way_and_leaves_nothing(manager: Manager) -> None:
    for attempt in (1, 2):  # the first was lost
        await manager.outputs.prepare(manager.job, attempt)
    await manager.agent.upload(manager.job, 2)
    assert await manager.outputs.seal(manager.job, 2) == OUTPUT
    await manager.outputs.publish(settled(OUTPUT, job=manager.job, attempt=2))
    assert manager.published == DATA
    await manager.outputs.discard(manager.job, 1)
    assert manager.of_the_job() == []


async def test_before_a_place_is_prepared_nobody_may_write(manager: Manager) -> None:
    with pytest.raises(TransferRefused):
        await manager.agent.upload(manager.job)
    assert await manager.outputs.seal(manager.job, 1) is None
    await manager.outputs.discard(manager.job, 1)


async def test_agents_may_write_and_nothing_else(manager: Manager) -> None:
    await manager.outputs.prepare(manager.job, 1)
    await manager.agent.upload(manager.job)
    access = await manager.server.getacl(manager.job)
    assert {access[subject] for subject in AGENTS} == {"wp"}  # w brings p with it
    for attempt in (
        manager.agent.server.list(manager.job),
        manager.agent.server.unlink(f"{manager.job}/{manager.job}.tgz"),
        manager.agent.server.rename(f"{manager.job}/{manager.job}.tgz", f"{manager.job}/x"),
        manager.agent.server.setacl(manager.job, "address:*", "rwl"),
        manager.agent.server.mkdir("elsewhere"),
    ):
        with pytest.raises(TransferRefused, match="no right"):
            await attempt


async def test_what_comes_after_the_check_is_refused_and_what_came_before_is_published(
    manager: Manager,
) -> None:
    await manager.outputs.prepare(manager.job, 1)
    await manager.agent.upload(manager.job)
    assert await manager.outputs.seal(manager.job, 1) == OUTPUT
    assert not set(AGENTS) & set(await manager.server.getacl(manager.job))
    with pytest.raises(TransferRefused, match="no right"):
        await manager.agent.upload(manager.job, data=b"late")
    await manager.outputs.publish(settled(OUTPUT, job=manager.job))
    assert manager.published == DATA


async def test_a_second_upload_counts_only_when_it_is_sealed(manager: Manager) -> None:
    for data in (DATA, b"once more"):
        await manager.outputs.prepare(manager.job, 1)
        await manager.agent.upload(manager.job, data=data)
        for _ in range(2):
            found = await manager.outputs.seal(manager.job, 1)
            assert found == Output(size=len(data), sha256=facts_of(data).sha256)
    await manager.outputs.prepare(manager.job, 1)
    await manager.agent.upload(manager.job, data=b"never sealed")
    assert found is not None
    await manager.outputs.publish(settled(found, job=manager.job))
    assert manager.published == b"once more"


async def test_the_name_of_the_first_attempt_leads_nowhere_when_the_second_runs(manager: Manager) -> None:
    await manager.outputs.prepare(manager.job, 1)
    await manager.outputs.discard(manager.job, 1)
    await manager.outputs.prepare(manager.job, 2)
    with pytest.raises(TransferRefused):
        await manager.agent.upload(manager.job, 1)
    assert await manager.outputs.seal(manager.job, 2) is None


async def test_a_link_to_what_others_have_stored_is_no_output(manager: Manager) -> None:
    other = uuid.uuid4().hex
    await manager.server.mkdir(other)
    await manager.server.put(f"{other}/secret", 6, contents(b"secret"))
    await manager.outputs.prepare(manager.job, 1)
    await manager.agent.link(f"../{other}/secret", f"/{manager.job}/{manager.job}.tgz")
    assert await manager.outputs.seal(manager.job, 1) is None
    await manager.outputs.discard(manager.job, 1)
    assert manager.of_the_job() == []
    assert set(await manager.server.list(other)) == {"secret"}


async def test_a_directory_that_an_agent_has_made_goes_with_the_attempt(manager: Manager) -> None:
    inner = f"{manager.job}/{manager.job}.tgz"
    await manager.outputs.prepare(manager.job, 1)
    await manager.agent.server.mkdir(inner)
    assert await manager.outputs.seal(manager.job, 1) is None
    await manager.agent.server.put(
        f"{inner}/more", 1, contents(b"x")
    )  # its own list lets it write here still
    await manager.outputs.discard(manager.job, 1)
    assert manager.of_the_job() == []
    with pytest.raises(TransferRefused):
        await manager.agent.server.put(f"{inner}/more", 1, contents(b"x"))


async def test_who_keeps_the_file_open_never_has_other_contents_published(manager: Manager) -> None:
    await manager.outputs.prepare(manager.job, 1)
    await manager.agent.upload(manager.job)
    opened = await manager.agent.open(f"/{manager.job}/{manager.job}.tgz")
    assert await manager.outputs.seal(manager.job, 1) == OUTPUT
    await manager.agent.write_opened(opened, b"EVIL")
    try:
        await manager.outputs.publish(settled(OUTPUT, job=manager.job))
    except TransferCorrupt:  # by the protocol it is seen, on the disk it is a copy that was sealed
        assert list(manager.done.iterdir()) == []
    else:
        assert manager.published == DATA


async def test_a_publication_that_a_crash_broke_off_is_finished(manager: Manager) -> None:
    await manager.outputs.prepare(manager.job, 1)
    await manager.agent.upload(manager.job)
    await manager.outputs.seal(manager.job, 1)
    for _ in range(2):
        await manager.outputs.publish(settled(OUTPUT, job=manager.job))
    assert manager.published == DATA


@pytest.mark.parametrize("on_disk", [True, False])
async def test_while_the_server_is_away_nothing_is_taken_for_missing(
    open_directory: Path, tmp_path: Path, on_disk: bool
) -> None:
    chirp = Chirp(open_directory / "chirp")
    await chirp.start()
    manager = Manager(chirp, tmp_path, on_disk=on_disk)
    try:
        await manager.rights.check()
        await manager.outputs.prepare(manager.job, 1)
        await manager.agent.upload(manager.job)
        await chirp.stop()
        for step in (manager.outputs.prepare, manager.outputs.seal, manager.outputs.discard):
            with pytest.raises(TransferUnavailable):
                await step(manager.job, 1)
        with pytest.raises(TransferUnavailable):
            await manager.rights.check()
        await chirp.start()
        assert await manager.outputs.seal(manager.job, 1) == OUTPUT
    finally:
        await manager.close()
        await chirp.stop()


async def test_a_server_on_which_we_have_no_rights_is_named_with_what_to_do(chirp_server: Chirp) -> None:
    stranger = ChirpServer(HOST, chirp_server.port, credentials=Credentials(methods=("address",)))
    with pytest.raises(
        ConfigError, match=r"knows us as address:127\.0\.0\.1.*put a line 'address:127\.0\.0\.1 rwlda'"
    ):
        await AgentRights(stranger, AGENTS).check()
    await stranger.close()


async def test_a_manager_that_is_known_as_agents_are_is_told_at_start(
    open_directory: Path, tmp_path: Path
) -> None:
    chirp = Chirp(open_directory / "chirp", rights={"address:*": "rwlda"})
    await chirp.start()
    server = ChirpServer(HOST, chirp.port, credentials=Credentials(methods=("address",)))
    try:
        with pytest.raises(ConfigError, match="must not be what the manager is known by"):
            await AgentRights(server, AGENTS).check()
    finally:
        await server.close()
        await chirp.stop()


@pytest.mark.parametrize("on_disk", [True, False])
async def test_where_agents_have_a_ticket_nobody_else_may_write(
    chirp_server: Chirp, tmp_path: Path, on_disk: bool
) -> None:
    ticket = Ticket.create()
    ticket.save(tmp_path / "ticket")
    manager = Manager(chirp_server, tmp_path / "state", on_disk=on_disk, agents=(ticket.subject,))
    await manager.server.register_ticket(ticket, 60)
    await manager.rights.check()
    await manager.outputs.prepare(manager.job, 1)
    with pytest.raises(TransferRefused, match="no right"):
        await manager.agent.upload(manager.job)
    holder = Agent(
        ChirpServer(HOST, chirp_server.port, credentials=Credentials.with_ticket(tmp_path / "ticket"))
    )
    await holder.upload(manager.job)
    assert await manager.outputs.seal(manager.job, 1) == OUTPUT
    with pytest.raises(TransferRefused) as refused:
        await holder.upload(manager.job)
    assert code_of(refused.value) == NOT_AUTHORIZED
    await manager.outputs.publish(settled(OUTPUT, job=manager.job))
    assert manager.published == DATA
    await holder.server.close()
    await manager.server.delete_ticket(ticket)
    await manager.close()


async def test_a_manager_may_log_in_with_a_ticket(chirp_server: Chirp, tmp_path: Path) -> None:
    ticket = Ticket.create()
    ticket.save(tmp_path / "ticket")
    owner = Manager(chirp_server, tmp_path, on_disk=False)
    await owner.server.register_ticket(ticket, 60)
    await owner.server.grant_ticket(ticket.subject, "/", "rwlda")
    by_ticket = ChirpServer(
        HOST, chirp_server.port, credentials=Credentials(methods=("ticket",), tickets=(ticket,))
    )
    assert await AgentRights(by_ticket, AGENTS).check() == await owner.server.whoami()
    await by_ticket.close()
    await owner.server.delete_ticket(ticket)
    await owner.close()


async def test_a_file_server_on_the_same_directory_stores_beside_chirp(
    chirp_server: Chirp, tmp_path: Path
) -> None:
    manager, area = Manager(chirp_server, tmp_path, on_disk=True), FileArea(chirp_server.root)
    await manager.rights.check()
    await manager.outputs.prepare(manager.job, 1)
    with area.new_output(manager.job, 1) as new:
        new.write(DATA)
        new.commit()
    assert await manager.outputs.seal(manager.job, 1) == OUTPUT
    await manager.outputs.publish(settled(OUTPUT, job=manager.job))
    assert manager.published == DATA
    assert manager.of_the_job() == []
    await manager.close()
