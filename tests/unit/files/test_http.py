"""The HTTP client against servers that answer badly: a real socket with canned answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from copilot.errors import NoSpace, TransferCorrupt, TransferError, TransferRefused, TransferUnavailable
from copilot.files.http import MAX_PAUSE, TRIES, HttpClient, pause
from copilot.files.spool import Part, Spool
from tests.patience import PATIENCE_S
from tests.unit.files.serving import HOST, facts_of, make_file, names_below


@asynccontextmanager
async def canned(*answers: str, arrived: asyncio.Event | None = None) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that gives these answers in turn, the last one for ever; its URL and the heads that came.

    It closes the first connection once its answer has `arrived`.
    """
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        answer = answers[min(len(heads), len(answers) - 1)]
        heads.append(head)
        _, found, length = head.lower().partition("content-length: ")
        if found:
            await reader.readexactly(int(length.split()[0]))
        writer.write(answer.replace("\n", "\r\n").encode())
        if arrived is not None:
            async with asyncio.timeout(PATIENCE_S):
                await arrived.wait()
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}/j/in?s=s1gnature", heads
    finally:
        server.close()


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when the client has taken a part of an answer: what it has not read when a connection breaks is gone."""
    event = asyncio.Event()

    class Watched(Spool):
        async def add(self, part: Part) -> None:
            await super().add(part)
            event.set()

    monkeypatch.setattr("copilot.files.http.Spool", Watched)
    return event


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    made = HttpClient(backoff=lambda failures: 0)
    yield made
    await made.close()


def answer(status: str, body: str = "", *fields: str) -> str:
    return "\n".join((f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", body))


@pytest.mark.parametrize(
    ("status", "meaning", "tries"),
    [
        ("301 Moved", TransferRefused, 1),
        ("302 Found", TransferRefused, 1),
        ("400 Bad Request", TransferRefused, 1),
        ("403 Forbidden", TransferRefused, 1),
        ("404 Not Found", TransferRefused, 1),
        ("413 Too Large", TransferRefused, 1),
        ("507 Insufficient Storage", NoSpace, 1),
        ("408 Timeout", TransferUnavailable, TRIES),
        ("429 Too Many Requests", TransferUnavailable, TRIES),
        ("500 Internal Server Error", TransferUnavailable, TRIES),
        ("503 Service Unavailable", TransferUnavailable, TRIES),
    ],
)
@pytest.mark.parametrize("way", ["get", "put"])
async def test_each_status_has_a_meaning_and_only_passing_ones_are_tried_again(
    client: HttpClient, tmp_path: Path, way: str, status: str, meaning: type[TransferError], tries: int
) -> None:
    source = make_file(tmp_path / "out", b"data")
    async with canned(answer(status, "", "Location: http://127.0.0.2/elsewhere")) as (url, heads):
        attempt = (
            client.get(url, tmp_path / "in")
            if way == "get"
            else client.put(source, url, facts=facts_of(b"data"))
        )
        with pytest.raises(meaning, match=status[:3]) as caught:
            await attempt
    assert len(heads) == tries
    assert url.partition("?")[0] in str(caught.value)
    assert "s1gnature" not in str(caught.value)
    assert names_below(tmp_path) == {"out"}


async def test_a_passing_error_is_got_over(client: HttpClient, tmp_path: Path) -> None:
    async with canned(answer("503 Busy"), answer("200 OK", "data")) as (url, _):
        assert await client.get(url, tmp_path / "in") == facts_of(b"data")


async def test_a_part_is_asked_for_and_put_behind_what_came(
    client: HttpClient, tmp_path: Path, arrived: asyncio.Event
) -> None:
    broken = 'HTTP/1.1 200 OK\nContent-Length: 4\nETag: "1"\n\nda'
    rest = answer("206 Partial", "ta", "Content-Range: bytes 2-3/4", 'ETag: "1"')
    async with canned(broken, rest, arrived=arrived) as (url, heads):
        assert await client.get(url, tmp_path / "in") == facts_of(b"data")
    assert "range: bytes=2-" in heads[1].lower()


@pytest.mark.parametrize(
    "second",
    [
        answer("200 OK", "data"),
        answer("206 Partial", "XX", "Content-Range: bytes 2-3/4", 'ETag: "2"'),
        answer("206 Partial", "XX", "Content-Range: bytes 1-2/4", 'ETag: "1"'),
        answer("206 Partial", "XX", 'ETag: "1"'),
        answer("416 Range Not Satisfiable"),
    ],
    ids=["whole", "other file", "other part", "unknown part", "no such part"],
)
async def test_a_part_that_does_not_fit_is_not_used(
    client: HttpClient, tmp_path: Path, arrived: asyncio.Event, second: str
) -> None:
    broken = 'HTTP/1.1 200 OK\nContent-Length: 4\nETag: "1"\n\nXX'
    async with canned(broken, second, answer("200 OK", "data"), arrived=arrived) as (
        url,
        _,
    ):
        assert await client.get(url, tmp_path / "in") == facts_of(b"data")


async def test_a_server_that_begins_anew_for_ever_is_given_up(
    client: HttpClient, tmp_path: Path, arrived: asyncio.Event
) -> None:
    broken = "HTTP/1.1 200 OK\nContent-Length: 4\n\nda"
    async with canned(broken, arrived=arrived) as (url, heads):
        with pytest.raises(TransferUnavailable):
            await client.get(url, tmp_path / "in")
    assert len(heads) == TRIES
    assert names_below(tmp_path) == set()


async def test_more_than_was_announced_is_not_stored(client: HttpClient, tmp_path: Path) -> None:
    async with canned(answer("200 OK", "data" * 1000)) as (url, heads):
        with pytest.raises(TransferCorrupt):
            await client.get(url, tmp_path / "in", size=4)
    assert len(heads) == 1


async def test_what_the_server_says_it_stored_is_compared(client: HttpClient, tmp_path: Path) -> None:
    source = make_file(tmp_path / "out", b"data")
    wrong = "Repr-Digest: sha-256=:AAAA:"
    for said in (answer("201 Created", "", wrong), answer("400 Bad Request", "", wrong)):
        async with canned(said) as (url, _):
            with pytest.raises(TransferCorrupt):
                await client.put(source, url, facts=facts_of(b"data"))
    async with canned(answer("204 No Content")) as (url, heads):
        await client.put(source, url, facts=facts_of(b"data"))
    assert "repr-digest: sha-256=:om6weq" in heads[0].lower()


async def test_an_authority_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", make_file(tmp_path / "no-pem", b"x")):
        client = HttpClient(ca_file=path)
        with pytest.raises(TransferRefused, match=path.name):
            await client.get(f"https://{HOST}:1/", tmp_path / "in")
        await client.close()


@pytest.mark.parametrize(
    "url", ["http://", "http://host:port/?s=signature", "http:///x?s=signature", "https://[x"]
)
async def test_a_broken_url_is_refused_without_its_signature(
    client: HttpClient, tmp_path: Path, url: str
) -> None:
    with pytest.raises(TransferRefused) as caught:
        await client.get(url, tmp_path / "in")
    assert "signature" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_pause_grows_and_has_an_end() -> None:
    assert all(0 <= pause(failures) <= min(MAX_PAUSE, 2**failures) for failures in range(1, 50))
