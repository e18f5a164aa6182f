"""Our Chirp client and a real chirp_server: log-ins, rights and tickets, many files, large files."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from copilot.errors import NoSpace, TransferRefused, TransferUnavailable
from copilot.files.chirp.authentication import Credentials
from copilot.files.chirp.client import ChirpClient
from copilot.files.chirp.server import ChirpServer
from copilot.files.chirp.ticket import Ticket
from copilot.files.clients import Files
from copilot.local import provision
from copilot.local.chirp import Chirp
from tests.unit.files.chirp_serving import contents, ignore
from tests.unit.files.serving import facts_of, make_file, names_below

pytestmark = pytest.mark.server("chirp")

BY_ADDRESS = "address:127.0.0.1"
FILES = 1000
AT_A_TIME = 32
LARGE = 200_000_000
LARGE_GROWTH = 20_000_000


class Place:
    """A directory of one test alone on the server of the run, and clients that log in in different ways."""

    def __init__(self, chirp: Chirp) -> None:
        self.chirp = chirp
        self.name = uuid.uuid4().hex
        self._made: list[ChirpServer] = []
        self.owner = self.client()

    def client(self, *methods: str, tickets: tuple[Ticket, ...] = (), port: int = 0) -> ChirpServer:
        credentials = Credentials(
            methods=methods or ("unix",), tickets=tickets, challenges=self.chirp.challenges
        )
        made = ChirpServer("127.0.0.1", port or self.chirp.port, credentials=credentials)
        self._made.append(made)
        return made

    def path(self, name: str = "") -> str:
        return f"{self.name}/{name}".rstrip("/")

    def url(self, name: str, port: int = 0) -> str:
        return f"chirp://127.0.0.1:{port or self.chirp.port}/{self.path(name)}"

    async def close(self) -> None:
        for server in self._made:
            await server.close()


@pytest.fixture
async def place(chirp_server: Chirp) -> AsyncIterator[Place]:
    place = Place(chirp_server)
    await place.owner.mkdir(place.path())
    yield place
    await place.close()


async def fetch(server: ChirpServer, path: str) -> bytes:
    found = bytearray()

    async def write(block: bytes) -> None:
        found.extend(block)

    await server.get(path, write)
    return bytes(found)


async def test_we_are_known_by_the_method_that_we_prefer(place: Place) -> None:
    ticket = Ticket.create()
    await place.owner.register_ticket(ticket, 60)
    owner = await place.owner.whoami()
    assert owner.startswith("unix:")
    assert not list(place.chirp.challenges.iterdir())
    assert await place.client("hostname").whoami() == f"hostname:{socket.gethostbyaddr('127.0.0.1')[0]}"
    assert await place.client("address").whoami() == BY_ADDRESS
    assert await place.client("ticket", "address", tickets=(ticket,)).whoami() == owner  # whom it stands for


async def test_methods_that_fail_are_followed_by_the_next(place: Place) -> None:
    unknown = Ticket.create()
    assert (
        await place.client("kerberos", "ticket", "address", tickets=(unknown, unknown)).whoami() == BY_ADDRESS
    )
    elsewhere = Credentials(methods=("unix", "address"), challenges=Path("/nowhere"))
    server = ChirpServer("127.0.0.1", place.chirp.port, credentials=elsewhere)
    assert await server.whoami() == BY_ADDRESS
    await server.close()


async def test_an_unknown_ticket_alone_is_refused(place: Place) -> None:
    with pytest.raises(TransferRefused, match="accepts none of ticket"):
        await place.client("ticket", tickets=(Ticket.create(),)).whoami()


async def test_files_and_directories_are_made_listed_renamed_and_removed(place: Place) -> None:
    owner = place.owner
    await owner.mkdir(place.path("sub"))
    await owner.mkdir(place.path("sub"), exist_ok=True)
    with pytest.raises(TransferRefused, match="already"):
        await owner.mkdir(place.path("sub"))
    await owner.put(place.path("sub/ü %"), 5, contents(b"hel", b"lo"))
    assert (await owner.stat(place.path("sub/ü %"))).size == 5
    await owner.rename(place.path("sub/ü %"), place.path("f"))
    assert await fetch(owner, place.path("f")) == b"hello"
    assert await owner.read(place.path("f"), 1, 3) == b"ell"
    assert await owner.read(place.path("f"), 4, 100) == b"o"
    listed = await owner.list(place.path())
    assert {name: stat.is_directory for name, stat in listed.items()} == {"sub": True, "f": False}
    await owner.unlink(place.path("f"))
    await owner.rmdir(place.path("sub"))
    assert await owner.list(place.path()) == {}
    with pytest.raises(TransferRefused, match="no such file"):
        await owner.unlink(place.path("f"))


async def test_a_right_that_was_withdrawn_is_gone_on_connections_that_are_open(place: Place) -> None:
    agent = place.client("address")
    await place.owner.setacl(place.path(), BY_ADDRESS, "w")
    await agent.put(place.path("out"), 3, contents(b"abc"))
    await place.owner.setacl(place.path(), BY_ADDRESS, "")
    with pytest.raises(TransferRefused, match="no right"):
        await agent.put(place.path("out"), 3, contents(b"xyz"))
    assert await fetch(place.owner, place.path("out")) == b"abc"
    assert BY_ADDRESS not in await place.owner.getacl(place.path())


async def test_who_may_only_write_puts_directly_and_leaves_nothing_else(place: Place, tmp_path: Path) -> None:
    await place.owner.setacl(place.path(), BY_ADDRESS, "w")
    client = ChirpClient(credentials=Credentials(methods=("address",)))
    source = make_file(tmp_path / "out", b"data")
    for _ in range(2):
        await client.put(source, place.url("job.tgz"), facts=facts_of(b"data"))
    with pytest.raises(TransferRefused, match="no right"):
        await client.get(place.url("job.tgz"), tmp_path / "in")
    await client.close()
    assert set(await place.owner.list(place.path())) == {"job.tgz"}
    assert await fetch(place.owner, place.path("job.tgz")) == b"data"


async def test_a_ticket_opens_one_directory_until_it_is_withdrawn(place: Place, tmp_path: Path) -> None:
    ticket = Ticket.create()
    await place.owner.mkdir(place.path("attempt"))
    await place.owner.register_ticket(ticket, 60)
    await place.owner.grant_ticket(ticket.subject, place.path("attempt"), "rwld")
    agent = place.client("ticket", tickets=(ticket,))
    await agent.put(place.path("attempt/out"), 3, contents(b"abc"))
    with pytest.raises(TransferRefused, match="no right"):
        await agent.put(place.path("elsewhere"), 3, contents(b"abc"))
    await place.owner.grant_ticket(ticket.subject, place.path("attempt"), "")
    with pytest.raises(TransferRefused, match="no right"):
        await agent.put(place.path("attempt/out"), 3, contents(b"xyz"))
    await place.owner.delete_ticket(ticket)
    with pytest.raises(TransferRefused, match="accepts none of ticket"):
        await place.client("ticket", tickets=(ticket,)).whoami()
    assert await fetch(place.owner, place.path("attempt/out")) == b"abc"


async def test_an_agent_logs_in_with_the_ticket_that_its_settings_name(place: Place, tmp_path: Path) -> None:
    ticket = Ticket.create()
    ticket.save(tmp_path / "ticket")
    await place.owner.register_ticket(ticket, 60)
    await place.owner.grant_ticket(ticket.subject, place.path(), "w")
    with_it, without = Files.standard(chirp_ticket=tmp_path / "ticket"), Files.standard()
    source = make_file(tmp_path / "out", b"data")
    await with_it.put(source, place.url("out"), facts=facts_of(b"data"))
    with pytest.raises(TransferRefused, match="no right"):
        await without.put(source, place.url("out"), facts=facts_of(b"data"))
    for files in (with_it, without):
        await files.close()
    with pytest.raises(TransferRefused, match="not a Chirp ticket"):
        Files.standard(chirp_ticket=source)
    await place.owner.delete_ticket(ticket)


async def test_a_ticket_in_a_file_is_the_same_ticket_for_us_and_for_openssl(tmp_path: Path) -> None:
    ticket = Ticket.create()
    path = tmp_path / "ticket"
    ticket.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Ticket.load(path).subject == ticket.subject
    path.write_bytes(b"# Chirp Ticket\n# made today\n" + path.read_bytes())  # as cctools writes it
    assert Ticket.load(path).sign(b"challenge") == ticket.sign(b"challenge")
    with pytest.raises(TransferRefused, match="is there already"):
        ticket.save(path)


@pytest.mark.parametrize(
    "data", [b"", b"rubbish", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_no_ticket_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(TransferRefused, match="not a Chirp ticket"):
        Ticket.load(make_file(tmp_path / "ticket", data))


async def test_a_server_that_is_gone_is_unavailable_and_one_that_is_back_serves_again(
    open_directory: Path,
) -> None:
    chirp = Chirp(open_directory / "chirp")
    await chirp.start()
    place = Place(chirp)
    try:
        await place.owner.mkdir(place.path())
        await chirp.stop()
        with pytest.raises(TransferUnavailable):
            await place.owner.stat(place.path())
        await chirp.start()
        assert (await place.owner.stat(place.path())).is_directory
    finally:
        await place.close()
        await chirp.stop()


async def test_a_full_disk_there_is_no_space_and_leaves_nothing(open_directory: Path, tmp_path: Path) -> None:
    chirp = Chirp(open_directory / "chirp", free_space=1 << 60)
    await chirp.start()
    client = ChirpClient(credentials=Credentials(methods=("unix",), challenges=chirp.challenges))
    try:
        with pytest.raises(NoSpace, match="the server's disk is full"):
            await client.put(
                make_file(tmp_path / "out", b"data"), f"{chirp.url}/out", facts=facts_of(b"data")
            )
        assert await client.server("127.0.0.1", chirp.port).list("/") == {}
    finally:
        await client.close()
        await chirp.stop()


@asynccontextmanager
async def counting(port: int) -> AsyncIterator[tuple[int, Callable[[], int]]]:
    """A port that leads to `port`, and how many connections were made to it."""
    pumps: list[asyncio.Task[None]] = []
    made = 0

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        pumps.append(asyncio.ensure_future(pump(reader, far_writer)))
        pumps.append(asyncio.ensure_future(pump(far_reader, writer)))

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], lambda: made
        server.close()
        await asyncio.gather(*pumps, return_exceptions=True)


async def test_a_thousand_files_go_through_one_connection(place: Place, tmp_path: Path) -> None:
    async with counting(place.chirp.port) as (port, connections):
        client = ChirpClient(credentials=Credentials(methods=("unix",), challenges=place.chirp.challenges))
        slots = asyncio.Semaphore(AT_A_TIME)

        async def there(number: int) -> None:
            data = f"{number:0>1000}".encode()
            async with slots:
                source = make_file(tmp_path / f"out-{number}", data)
                await client.put(source, place.url(str(number), port), facts=facts_of(data))

        await asyncio.gather(*map(there, range(FILES)))
        await client.close()
        assert connections() == 1
    stored = await place.owner.list(place.path())
    assert {name: stat.size for name, stat in stored.items()} == {
        str(number): 1000 for number in range(FILES)
    }
    assert await fetch(place.owner, place.path("517")) == f"{517:0>1000}".encode()


async def test_a_large_file_takes_little_memory(place: Place, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        file.truncate(LARGE)
    program = f"""
import asyncio, hashlib, re
from pathlib import Path
from copilot.files.base import FileFacts
from copilot.files.chirp.authentication import Credentials
from copilot.files.chirp.client import ChirpClient

def peak():  # of this program alone: ru_maxrss begins with that of the process that started it
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

async def main():
    client = ChirpClient(credentials=Credentials(methods=("unix",), challenges=Path({str(place.chirp.challenges)!r})))
    source, small, url = Path({str(tmp_path / "out")!r}), Path({str(tmp_path / "small")!r}), {place.url("large")!r}
    small.write_bytes(b"x")
    await client.put(small, url, facts=FileFacts(1, hashlib.sha256(b"x").hexdigest()))
    await client.get(url, small)
    with source.open("rb") as file:
        facts = FileFacts({LARGE}, hashlib.file_digest(file, "sha256").hexdigest())
    before = peak()
    await client.put(source, url, facts=facts)
    await client.get(url, small, size=facts.size, sha256=facts.sha256)
    print(peak() - before)
    await client.close()

asyncio.run(main())
"""
    run = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert run.stderr == ""
    assert int(run.stdout) < LARGE_GROWTH


async def test_an_upload_that_breaks_off_leaves_no_file_under_any_name(place: Place, tmp_path: Path) -> None:
    source = make_file(tmp_path / "out", bytes(3_000_000))
    facts = facts_of(bytes(3_000_000))
    source.write_bytes(bytes(2_999_999) + b"x")  # seen only when the last block is read
    client = ChirpClient(credentials=Credentials(methods=("unix",), challenges=place.chirp.challenges))
    with pytest.raises(Exception, match="changed since"):
        await client.put(source, place.url("out"), facts=facts)
    await client.close()
    assert await place.owner.list(place.path()) == {}


async def test_what_cctools_puts_we_get_and_the_other_way_round(place: Place, tmp_path: Path) -> None:
    tool = provision.require("chirp_put")
    await place.owner.setacl(place.path(), BY_ADDRESS, "rwl")
    run = await asyncio.to_thread(
        subprocess.run,
        [tool.program, "-a", "address", make_file(tmp_path / "a b%", b"data"), f"127.0.0.1:{place.chirp.port}",
         f"/{place.path('x y%')}"],
        env=tool.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert await fetch(place.owner, place.path("x y%")) == b"data"
    await place.owner.get(place.path("x y%"), ignore, size=4)
    assert names_below(tmp_path) == {"a b%"}
