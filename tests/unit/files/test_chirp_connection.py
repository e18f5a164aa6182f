"""The Chirp client against servers that pipeline, refuse, stall, break off and lie."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copilot.errors import TransferCorrupt, TransferError, TransferRefused, TransferUnavailable
from copilot.files.chirp.authentication import Credentials
from copilot.files.chirp.client import ChirpClient
from copilot.files.chirp.connection import MAX_UNDER_WAY
from copilot.files.chirp.server import ChirpServer
from tests.unit.files.chirp_serving import (
    BY_ADDRESS,
    LOGGED_IN,
    client_of,
    contents,
    ignore,
    logged_in,
    saying,
    silence,
    talking,
)
from tests.unit.files.serving import facts_of, make_file, names_below

SOON = (
    0.3  # seconds; limits of clients that are meant to run into them, long enough to log in on a busy machine
)
STAT = b"0\n1 1 33152 1 1 1 0 5 0 0 0 0 0\n"

OPERATIONS: dict[str, Callable[[ChirpServer], Awaitable[object]]] = {
    "get": lambda server: server.get("a", ignore),
    "get of a known size": lambda server: server.get("a", ignore, size=5),
    "read": lambda server: server.read("a", 0, 10),
    "put": lambda server: server.put("a", 3, contents(b"abc")),
    "stat": lambda server: server.stat("a"),
    "list": lambda server: server.list("a"),
    "mkdir": lambda server: server.mkdir("a", exist_ok=True),
    "rename": lambda server: server.rename("a", "b"),
    "may_rename": lambda server: server.may_rename("a", "b"),
    "getacl": lambda server: server.getacl("a"),
    "whoami": lambda server: server.whoami(),
}


async def test_requests_are_sent_before_the_answers_to_earlier_ones_came() -> None:
    lines = []

    async def answer_only_full_rounds(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            lines.extend([await reader.readline() for _ in range(MAX_UNDER_WAY)])
            writer.write(STAT * MAX_UNDER_WAY)

    async with client_of(logged_in(answer_only_full_rounds)) as server:
        stats = await asyncio.gather(*(server.stat(str(number)) for number in range(2 * MAX_UNDER_WAY)))
    assert lines == [f"stat /{number}\n".encode() for number in range(2 * MAX_UNDER_WAY)]
    assert {stat.size for stat in stats} == {5}


async def test_contents_wait_for_the_servers_consent_and_the_next_request_only_for_the_contents() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"putfile /a 384 3\n"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), SOON)
        writer.write(b"0\n")
        assert await reader.readexactly(len(b"abcstat /b\n")) == b"abcstat /b\n"  # and only now the result
        writer.write(b"3\n" + STAT)

    async with client_of(logged_in(talk)) as server:
        _, stat = await asyncio.gather(server.put("a", 3, contents(b"abc")), server.stat("b"))
    assert stat.size == 5


async def test_contents_that_the_server_refuses_are_never_sent() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"-2\n")
        assert await reader.readline() == b"stat /b\n"
        writer.write(STAT)

    async with client_of(logged_in(talk)) as server:
        results = await asyncio.gather(
            server.put("a", 11, contents(b"unlink /b\n\n")), server.stat("b"), return_exceptions=True
        )
    assert isinstance(results[0], TransferRefused)
    assert not isinstance(results[1], BaseException)


async def test_a_broken_connection_fails_all_that_wait_and_the_next_call_connects_anew() -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for _ in range(5):
            await reader.readline()
        if connections == 2:
            writer.write(STAT)
            await silence(reader, writer)

    async with client_of(logged_in(talk)) as server:
        results = await asyncio.gather(*(server.stat("a") for _ in range(5)), return_exceptions=True)
        assert [type(result) for result in results] == [TransferUnavailable] * 5
        answers = [asyncio.ensure_future(server.stat("a")) for _ in range(5)]
        assert (await answers[0]).size == 5
        await server.close()
        await asyncio.gather(*answers, return_exceptions=True)
    assert connections == 2


async def test_a_connection_that_was_idle_for_long_is_made_anew_before_the_server_closes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.readline():
            writer.write(STAT)

    async with client_of(logged_in(talk)) as server:
        await server.stat("a")
        await server.stat("a")
        assert connections == 1
        monkeypatch.setattr("copilot.files.chirp.server.MAX_IDLE", 0.0)
        await server.stat("a")
        assert connections == 2


async def test_an_operation_that_is_given_up_cuts_the_connection_and_leaves_the_client_well(
    tmp_path: Path,
) -> None:
    begun = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        if line == b"getfile /a\n":
            writer.write(b"1000000\nbeginning")
            begun.set()
            await silence(reader, writer)
        writer.write(STAT)

    async with client_of(logged_in(talk)) as server:
        task = asyncio.ensure_future(server.get("a", ignore))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await server.stat("a")).size == 5


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_server_that_stalls_is_unavailable_whatever_it_was_asked(name: str) -> None:
    async with client_of(logged_in(silence), stall=SOON) as server:
        with pytest.raises(TransferUnavailable, match=f"nothing moved for {SOON} s"):
            await OPERATIONS[name](server)


async def test_a_server_that_stalls_within_contents_is_unavailable() -> None:
    async with client_of(saying(b"5\nab", then=silence), stall=SOON) as server:
        with pytest.raises(TransferUnavailable, match="nothing moved"):
            await server.get("a", ignore)


async def test_a_server_that_takes_no_contents_is_unavailable() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"0\n")
        await gone.wait()

    gone = asyncio.Event()
    block = bytes(1 << 20)
    async with client_of(saying(b"", then=deaf), stall=SOON) as server:
        with pytest.raises(TransferUnavailable, match="nothing moved"):
            await server.put("a", 64 * len(block), contents(*[block] * 64))
        gone.set()


async def test_a_server_that_stalls_at_the_log_in_is_unavailable() -> None:
    async with client_of(silence, stall=SOON) as server:
        with pytest.raises(TransferUnavailable, match="nothing moved"):
            await server.whoami()


async def test_nobody_there_is_unavailable() -> None:
    async with talking(silence) as port:
        pass
    server = ChirpServer("127.0.0.1", port, credentials=BY_ADDRESS)
    with pytest.raises(TransferUnavailable, match="no connection"):
        await server.whoami()


async def test_a_server_that_accepts_no_method_is_refused() -> None:
    async def no(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            writer.write(b"no\n")

    async with talking(no) as port:
        server = ChirpServer("127.0.0.1", port, credentials=Credentials(methods=("hostname", "address")))
        with pytest.raises(TransferRefused, match="accepts none of hostname, address"):
            await server.whoami()


@pytest.mark.parametrize(
    "challenge",
    ["victim", "challenge.1.2/../victim", "challenge.1.x", "../challenge.1.2", "sub/challenge.1.2"],
)
async def test_a_server_cannot_have_other_files_made_or_removed(tmp_path: Path, challenge: str) -> None:
    make_file(tmp_path / "victim", b"precious")
    answers = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(f"yes\n{tmp_path}/{challenge}\n".encode())
        answers.extend([await reader.readline(), await reader.readline()])
        writer.write(LOGGED_IN)
        await reader.readline()
        writer.write(STAT)

    async with talking(talk) as port:
        credentials = Credentials(methods=("unix", "address"), challenges=tmp_path)
        server = ChirpServer("127.0.0.1", port, credentials=credentials)
        await server.stat("a")
        await server.close()
    assert answers == [b"no\n", b"address\n"]
    assert names_below(tmp_path) == {"victim"}
    assert (tmp_path / "victim").read_bytes() == b"precious"


async def test_a_file_with_a_challenges_name_that_is_there_already_stays(tmp_path: Path) -> None:
    make_file(tmp_path / "challenge.1.2", b"precious")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(f"yes\n{tmp_path}/challenge.1.2\n".encode())
        await reader.readline()

    async with talking(talk) as port:
        credentials = Credentials(methods=("unix",), challenges=tmp_path)
        with pytest.raises(TransferRefused):
            await ChirpServer("127.0.0.1", port, credentials=credentials).whoami()
    assert (tmp_path / "challenge.1.2").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"4\ndata", TransferCorrupt),  # fewer than announced
        (b"6\ndatata", TransferCorrupt),  # more
        (b"5\ndat", TransferUnavailable),  # fewer than it says itself
        (b"99999999999999999\n", TransferRefused),
        (b"999999999999999999999\n", TransferRefused),
        (b"yes\n", TransferRefused),
        (b"5", TransferUnavailable),
        (b"", TransferUnavailable),
        (b"x" * 100_000, TransferUnavailable),  # ends without a line
        (b"x" * 1_000_000, TransferRefused),
        (b"0" * 5000 + b"\n", TransferRefused),
    ],
)
async def test_lies_about_sizes_leave_the_target_as_it_was(
    tmp_path: Path, answer: bytes, error: type[TransferError]
) -> None:
    target = make_file(tmp_path / "in", b"before")
    async with talking(saying(answer)) as port:
        client = ChirpClient(credentials=BY_ADDRESS)
        with pytest.raises(error):
            await client.get(f"chirp://127.0.0.1:{port}/a", target, size=5)
        await client.close()
    assert target.read_bytes() == b"before"
    assert names_below(tmp_path) == {"in"}


async def test_an_endless_file_of_unknown_size_is_refused_by_its_size() -> None:
    async with client_of(saying(b"99999999999999999\n")) as server:
        with pytest.raises(TransferRefused, match="a size of"):
            await server.get("a", ignore)


async def test_a_server_that_stored_another_size_is_not_believed() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"0\n")
        await reader.readexactly(3)
        writer.write(b"2\n")

    async with client_of(saying(b"", then=talk)) as server:
        with pytest.raises(TransferCorrupt, match="2 of 3 bytes"):
            await server.put("a", 3, contents(b"abc"))


@pytest.mark.parametrize(
    "url",
    [
        "chirp:///a",
        "chirp://host",
        "chirp://host/",
        "chirp://user:secret@host/a",
        "chirp://host/a?secret",
        "chirp://host/a#b",
        "chirp://host:99999/a",
        "chirp://host:x/a",
        "chirp://host/a/../b",
        "chirp://host/a%0Aunlink",
        "chirp://host/.__acl",
        "chirp://host/%FF",
        "http://host/a",
    ],
)
async def test_urls_that_are_none_are_refused_before_anything_is_sent(tmp_path: Path, url: str) -> None:
    client = ChirpClient()
    with pytest.raises(TransferRefused) as caught:
        await client.get(url, tmp_path / "in")
    with pytest.raises(TransferRefused):
        await client.put(make_file(tmp_path / "out", b""), url, facts=facts_of(b""))
    assert "secret" not in str(caught.value)
    assert names_below(tmp_path) == {"out"}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_a_server_answers_is_an_answer_or_an_error_of_ours(data: st.DataObject) -> None:
    line = st.one_of(
        st.integers(-130, 300).map(lambda number: f"{number}\n".encode()),
        st.sampled_from([STAT, b"\n", b"yes\n", b".\n", b"unix:a rwl\n", b"0\n", b"5\nhello", b"10\r\n"]),
        st.binary(max_size=60),
    )
    answer = b"".join(data.draw(st.lists(line, max_size=8)))
    name = data.draw(st.sampled_from(sorted(OPERATIONS)))

    async def run() -> None:
        async with client_of(saying(answer)) as server:
            with suppress(TransferError):
                await OPERATIONS[name](server)

    asyncio.run(run())


@settings(max_examples=150, deadline=None)
@given(
    cut=st.integers(0, len(LOGGED_IN)),
    rubbish=st.binary(max_size=40),
    methods=st.permutations(["hostname", "address"]),
)
def test_whatever_a_server_says_at_the_log_in_is_a_log_in_or_an_error_of_ours(
    cut: int, rubbish: bytes, methods: list[str]
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(LOGGED_IN[:cut] + rubbish)

    async def run() -> None:
        async with talking(talk) as port:
            server = ChirpServer("127.0.0.1", port, credentials=Credentials(methods=methods))
            with suppress(TransferError):
                assert (await server.stat("a")).size >= 0
            await server.close()

    asyncio.run(run())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_an_honest_answer_with_a_fault_never_makes_a_wrong_file(tmp_path: Path, data: st.DataObject) -> None:
    """Size and hash are known, as they are for every input of ours: the file is right, or it is not there."""
    honest = bytearray(b"11\nhello world")
    for _ in range(data.draw(st.integers(1, 3))):
        at, new = data.draw(st.tuples(st.integers(0, len(honest)), st.binary(max_size=3)))
        honest[at : at + data.draw(st.integers(0, 3))] = new
    answer, target = bytes(honest), tmp_path / "in"
    target.unlink(missing_ok=True)
    facts = facts_of(b"hello world")

    async def run() -> None:
        async with talking(saying(answer)) as port:
            client = ChirpClient(credentials=BY_ADDRESS)
            with suppress(TransferError):
                await client.get(f"chirp://127.0.0.1:{port}/a", target, size=facts.size, sha256=facts.sha256)
            await client.close()

    asyncio.run(run())
    assert names_below(tmp_path) <= {"in"}
    assert not target.exists() or target.read_bytes() == b"hello world"


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_no_sockets_of_ours_are_left_open() -> None:
    async def run() -> int:
        before = open_files()
        for _ in range(3):
            async with client_of(saying(b"yes\n")) as server:
                with pytest.raises(TransferRefused):
                    await server.stat("a")
        return open_files() - before

    assert asyncio.run(run()) <= 0
