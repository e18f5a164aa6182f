"""The file server and its client under trouble: broken connections, forged URLs, slow peers, full disks."""

from __future__ import annotations

import asyncio
import logging
import random
import resource
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import aiohttp
import pytest

from copilot.clock import SystemClock
from copilot.errors import NoSpace, TransferRefused, TransferUnavailable
from copilot.files import server as server_module
from copilot.files.base import BLOCK
from copilot.files.clients import Files
from copilot.files.digest import FIELD, format_digest
from copilot.files.http import TRIES, HttpClient
from copilot.files.server import FileServer
from copilot.files.signing import UrlSigner, Verifier, _signature
from copilot.local.certificates import ensure
from tests.patience import PATIENCE_S
from tests.unit.files.serving import HOST, SECRET, Served, facts_of, make_file, names_below, serving

JOB = "job-1"
OUTPUT = f"{JOB}/{JOB}.tgz"
BIG = random.Random(2).randbytes(8_000_000)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as running:
        yield running


@pytest.fixture
async def client(served: Served) -> AsyncIterator[HttpClient]:
    made = HttpClient(ca_file=served.ca_file, backoff=lambda failures: 0)
    yield made
    await made.close()


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Served]:
    """Without TLS and with short patience, for tests that write to the socket by hand."""
    async with serving(tmp_path, tls=False, stall=0.3) as running:
        yield running


async def until(condition: Callable[[], bool], limit: float = PATIENCE_S) -> None:
    async with asyncio.timeout(limit):
        while not condition():
            await asyncio.sleep(0.005)


async def answer(port: int, request: bytes) -> bytes:
    """All that the server says to `request` until it closes."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(request)
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read()
    finally:
        writer.close()


def target(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


async def status(served: Served, method: str, url: str, data: bytes | None = None, **headers: str) -> int:
    context = ssl.create_default_context(cafile=served.ca_file)
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, data=data, headers=headers, ssl=context) as response,
    ):
        return response.status


class BreakingProxy:
    """Passes bytes on to `port` and cuts the first `breaks` connections after `limit` bytes one way."""

    def __init__(self, port: int, breaks: int, limit: int, *, downwards: bool) -> None:
        self._target = port
        self._breaks = breaks
        self._limit = limit
        self._downwards = downwards
        self.passed = 0  # bytes in the watched direction

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        listening = await asyncio.start_server(self._serve, HOST, 0)
        try:
            yield listening.sockets[0].getsockname()[1]
        finally:
            listening.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        limit = self._limit if self._breaks > 0 else None
        self._breaks -= 1
        far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
        ways = [
            self._pass(reader, far_writer, None if self._downwards else limit, not self._downwards),
            self._pass(far_reader, writer, limit if self._downwards else None, self._downwards),
        ]
        tasks = [asyncio.create_task(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, far_writer):
            end.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None, watched: bool
    ) -> None:
        passed = 0
        while (limit is None or passed < limit) and (block := await reader.read(65536)):
            passed += len(block)
            self.passed += len(block) if watched else 0
            writer.write(block)
            await writer.drain()


async def test_a_broken_download_goes_on_where_it_broke(
    served: Served, client: HttpClient, tmp_path: Path
) -> None:
    served.area.store_input(JOB, make_file(tmp_path / "source", BIG), "in")
    proxy = BreakingProxy(served.port, breaks=TRIES + 2, limit=len(BIG) // 8, downwards=True)
    async with proxy.running() as port:
        url = served.signer_at(port).input_url(JOB, "in", 60)
        facts = facts_of(BIG)
        assert await client.get(url, tmp_path / "in", size=facts.size, sha256=facts.sha256) == facts
    assert (tmp_path / "in").read_bytes() == BIG
    assert proxy.passed < 1.5 * len(BIG)


async def test_a_connection_that_breaks_before_anything_came_is_given_up(
    served: Served, client: HttpClient, tmp_path: Path
) -> None:
    served.area.store_input(JOB, make_file(tmp_path / "source", BIG), "in")
    async with BreakingProxy(served.port, breaks=99, limit=1, downwards=True).running() as port:
        with pytest.raises(TransferUnavailable):
            await client.get(served.signer_at(port).input_url(JOB, "in", 60), tmp_path / "in")
    assert not (tmp_path / "in").exists()


async def test_a_broken_upload_is_sent_again_and_leaves_nothing_behind(
    served: Served, client: HttpClient, tmp_path: Path
) -> None:
    source = make_file(tmp_path / "source", BIG)
    async with BreakingProxy(served.port, breaks=2, limit=len(BIG) // 2, downwards=False).running() as port:
        url = served.signer_at(port).output_url(JOB, 1, 60, len(BIG))
        await client.put(source, url, facts=facts_of(BIG))
    assert facts_of(served.area.output_path(JOB, 1).read_bytes()) == facts_of(BIG)
    await until(lambda: names_below(served.area.root) == {OUTPUT})


async def test_a_file_that_changed_between_two_parts_is_fetched_anew(
    served: Served, client: HttpClient, tmp_path: Path
) -> None:
    other = BIG[::-1]
    source = make_file(tmp_path / "source", BIG)
    served.area.store_input(JOB, source, "in")
    proxy = BreakingProxy(served.port, breaks=1, limit=len(BIG) // 2, downwards=True)
    pauses: list[int] = []

    def replace_it(failures: int) -> float:
        if not pauses:
            served.area.store_input(JOB, make_file(source, other), "in")
        pauses.append(failures)
        return 0

    changing = HttpClient(ca_file=served.ca_file, backoff=replace_it)
    async with proxy.running() as port:
        url = served.signer_at(port).input_url(JOB, "in", 60)
        assert await changing.get(url, tmp_path / "in") == facts_of(other)
    await changing.close()
    assert pauses


@pytest.mark.parametrize("field", ["e=", "m=", "s="])
async def test_a_tampered_url_is_refused(served: Served, field: str) -> None:
    url = served.signer.output_url(JOB, 1, 60, 100)
    assert await status(served, "PUT", url.replace(field, f"{field}9"), b"data") == 403
    assert names_below(served.area.root) == set()


async def test_an_expired_url_is_refused_with_a_text_that_shows_no_signature(
    served: Served, client: HttpClient, tmp_path: Path
) -> None:
    url = served.signer.input_url(JOB, "in", -1)
    with pytest.raises(TransferRefused, match="expired") as caught:
        await client.get(url, tmp_path / "in")
    assert "s=" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_an_input_from_afar_is_taken_if_it_is_the_one_that_was_announced(
    served: Served, client: HttpClient, tmp_path: Path
) -> None:
    data = BIG[:100_000]
    facts = facts_of(data)
    url = served.signer.upload_url(JOB, "staged/data/in", 60, facts)
    await client.put(make_file(tmp_path / "big", data), url, facts=facts)
    assert served.area.input_path(JOB, "staged/data/in").read_bytes() == data
    await client.put(tmp_path / "big", url, facts=facts)  # the same once more changes nothing
    other = bytes([data[0] ^ 1]) + data[1:]
    assert await status(served, "PUT", url, other) == 400
    assert await status(served, "PUT", url, data[:-1]) == 400
    assert await status(served, "PUT", url, data + b"x") == 413
    digest = {FIELD: format_digest(facts_of(other).sha256)}
    assert await status(served, "PUT", url, other, **digest) == 400
    assert await status(served, "GET", url) == 403
    assert names_below(served.area.root) == {f"{JOB}.a0/staged/data/in"}
    assert served.area.input_path(JOB, "staged/data/in").read_bytes() == data


async def test_the_output_of_a_finished_job_is_read_where_the_finisher_has_put_it(
    served: Served, client: HttpClient, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    (done / JOB).mkdir()
    make_file(done / JOB / f"{JOB}.tgz", BIG)
    (done / "linked").symlink_to(done / JOB)
    facts = facts_of(BIG)
    url = served.signer.result_url(JOB, 60)
    assert await client.get(url, tmp_path / "out", size=facts.size, sha256=facts.sha256) == facts
    assert await status(served, "GET", url.replace(JOB, "job-2")) == 403
    assert await status(served, "GET", served.signer.result_url("job-2", 60)) == 404
    assert await status(served, "GET", served.signer.result_url("linked", 60)) == 404
    assert await status(served, "PUT", url, b"x") == 403


async def test_a_signature_is_good_for_one_method_job_attempt_and_name_only(
    served: Served, tmp_path: Path
) -> None:
    served.area.store_input(JOB, make_file(tmp_path / "source", b"data"), "in")
    read = served.signer.input_url(JOB, "in", 60)
    write = served.signer.output_url(JOB, 1, 60, 100)
    assert await status(served, "GET", read) == 200
    assert await status(served, "PUT", write, b"data") == 201
    assert await status(served, "PUT", read, b"data") == 403
    assert await status(served, "GET", write) == 403
    assert await status(served, "PUT", write.replace(OUTPUT, f"{JOB}.a2/{JOB}.a2.tgz"), b"data") == 403
    assert await status(served, "PUT", write.replace(JOB, "job-2"), b"data") == 403
    assert await status(served, "GET", read.replace("/in?", "/other?")) == 403
    assert await status(served, "GET", read.replace(JOB, "job-2")) == 403
    assert await status(served, "GET", read.partition("?")[0]) == 403
    assert names_below(served.area.root) == {f"{JOB}.a0/in", OUTPUT}


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "job-1.a0/../../secret",
        "job-1.a0/%2e%2e/%2e%2e/secret",
        "job-1.a0%2F..%2F..%2Fsecret",
        "/etc/passwd",
    ],
)
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
async def test_no_path_leads_out_of_the_area(plain: Served, tmp_path: Path, path: str, signed: bool) -> None:
    make_file(tmp_path / "secret", b"SECRET")
    (plain.area.root / f"{JOB}.a0").mkdir()
    decoded = path.replace("%2e", ".").replace("%2F", "/")
    query = (
        f"e=9999999999&s={_signature(SECRET, 'GET', decoded, '9999999999', '')}"
        if signed
        else "e=9999999999&s=x"
    )
    said = await answer(
        plain.port, f"GET /{path}?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )
    assert b"SECRET" not in said
    assert said.startswith(b"HTTP/1.1 404" if signed else b"HTTP/1.1 403")


@pytest.mark.parametrize(
    "path",
    [
        "job-1.a0/in",
        "job-1.a01/job-1.a01.tgz",
        "job-1/job-2.tgz",
        ".sealed/job-1.tgz",
        "x/../job-1/job-1.tgz",
    ],
)
async def test_even_a_signed_upload_writes_outputs_only(plain: Served, path: str) -> None:
    query = f"e=9999999999&m=9&s={_signature(SECRET, 'PUT', path, '9999999999', '9')}"
    request = f"PUT /{path}?{query} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndata"
    assert (await answer(plain.port, request.encode())).startswith(b"HTTP/1.1 404")
    assert list(plain.area.root.iterdir()) == []


async def test_an_upload_over_the_signed_size_is_refused(
    served: Served, client: HttpClient, tmp_path: Path
) -> None:
    url = served.signer.output_url(JOB, 1, 60, len(BIG) - 1)
    with pytest.raises(TransferRefused, match="413"):
        await client.put(make_file(tmp_path / "out", BIG), url, facts=facts_of(BIG))
    assert names_below(served.area.root) == set()


async def test_a_client_that_waits_to_be_asked_for_the_body_is_asked(plain: Served) -> None:
    url = target(plain.signer.output_url(JOB, 1, 60, 4))
    head = f"PUT {url} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    reader, writer = await asyncio.open_connection(HOST, plain.port)
    async with asyncio.timeout(PATIENCE_S):
        writer.write(head.encode())
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"data")
        assert (await reader.readline()).startswith(b"HTTP/1.1 201 ")
    writer.close()
    await writer.wait_closed()


async def test_a_client_without_rights_is_not_asked_for_the_body(plain: Served) -> None:
    head = f"PUT /{OUTPUT} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    assert (await answer(plain.port, head.encode())).startswith(b"HTTP/1.1 403 ")


async def test_an_upload_that_does_not_tell_its_size_is_cut_at_the_signed_one(served: Served) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(BLOCK)

    url = served.signer.output_url(JOB, 1, 60, 2 * BLOCK)
    assert await status(served, "PUT", url, endless()) == 413  # type: ignore[arg-type]
    assert names_below(served.area.root) == set()


@pytest.mark.parametrize(("size", "expected"), [(4, 201), (3, 413)])
async def test_the_signed_size_itself_is_allowed(served: Served, size: int, expected: int) -> None:
    assert await status(served, "PUT", served.signer.output_url(JOB, 1, 60, size), b"data") == expected


@pytest.mark.parametrize(
    ("digest", "expected"),
    [
        ("sha-256=:Om6wd6WH+6Zj1dv1LWp7OZpZlwxpnbnzHzpMxJ/0LRc=:", 400),  # of something else
        ("sha-256=:short:", 400),
        ("sha-256=not-in-colons", 400),
        ("md5=:AAAA:", 201),  # not ours to check
    ],
)
async def test_a_wrong_digest_stores_nothing(served: Served, digest: str, expected: int) -> None:
    url = served.signer.output_url(JOB, 1, 60, 100)
    assert await status(served, "PUT", url, b"data", **{"Repr-Digest": digest}) == expected
    assert names_below(served.area.root) == ({OUTPUT} if expected == 201 else set())


async def test_a_range_gives_that_part(served: Served, tmp_path: Path) -> None:
    served.area.store_input(JOB, make_file(tmp_path / "source", b"0123456789"), "in.txt")
    make_file(served.area.root / f"{JOB}.a0" / "in.txt.gz", b"not what was asked for")
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            served.signer.input_url(JOB, "in.txt", 60),
            headers={"Range": "bytes=4-6", "Accept-Encoding": "gzip"},
            ssl=ssl.create_default_context(cafile=served.ca_file),
        ) as response,
    ):
        assert (response.status, await response.read()) == (206, b"456")
        assert response.headers["Content-Range"] == "bytes 4-6/10"


async def test_twenty_uploads_at_once_all_arrive(served: Served, client: HttpClient, tmp_path: Path) -> None:
    contents = {attempt: random.Random(attempt).randbytes(500_000) for attempt in range(1, 21)}

    async def put(attempt: int) -> None:
        data = contents[attempt]
        source = make_file(tmp_path / f"out{attempt}", data)
        await client.put(source, served.signer.output_url(JOB, attempt, 60, len(data)), facts=facts_of(data))

    await asyncio.gather(*map(put, contents))
    assert all(
        facts_of(served.area.output_path(JOB, attempt).read_bytes()) == facts_of(data)
        for attempt, data in contents.items()
    )
    assert len(names_below(served.area.root)) == len(contents)


async def test_uploads_of_the_same_output_at_once_leave_one_whole(
    served: Served, client: HttpClient, tmp_path: Path
) -> None:
    contents = [bytes([number]) * 1_000_000 for number in range(6)]
    url = served.signer.output_url(JOB, 1, 60, 1_000_000)
    sources = [make_file(tmp_path / f"out{number}", data) for number, data in enumerate(contents)]
    await asyncio.gather(
        *(client.put(path, url, facts=facts_of(data)) for path, data in zip(sources, contents, strict=True))
    )
    assert served.area.output_path(JOB, 1).read_bytes() in contents
    assert names_below(served.area.root) == {OUTPUT}


async def test_a_full_disk_of_the_server_is_507(served: Served) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        assert (
            await status(served, "PUT", served.signer.output_url(JOB, 1, 60, 999_999), bytes(200_000)) == 507
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names_below(served.area.root) == set()


async def test_a_really_full_file_system_is_no_space_in_both_directions(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)]
    try:
        mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("this user may not mount a small tmpfs")
    try:
        async with serving(small, tls=False) as served:
            client = HttpClient(backoff=lambda failures: 0)
            with pytest.raises(NoSpace, match="507"):
                await client.put(
                    make_file(tmp_path / "out", BIG),
                    served.signer.output_url(JOB, 1, 60, len(BIG)),
                    facts=facts_of(BIG),
                )
            assert names_below(served.area.root) == set()
            await client.close()
    finally:
        subprocess.run(["umount", str(small)], check=True)


async def test_a_body_that_stops_coming_is_answered_408_and_forgotten(plain: Served) -> None:
    url = target(plain.signer.output_url(JOB, 1, 60, 100))
    head = f"PUT {url} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nonly a part"
    assert (await answer(plain.port, head.encode())).startswith(b"HTTP/1.1 408")
    assert names_below(plain.area.root) == set()


@pytest.mark.parametrize("start", [b"", b"GET /healthz HTTP/1.1\r\nHost:"])
async def test_a_connection_without_a_whole_request_is_closed(plain: Served, start: bytes) -> None:
    assert await answer(plain.port, start) == b""


async def test_a_peer_that_does_not_read_is_cut_off(
    plain: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "MIN_RATE", 1e9)
    source = tmp_path / "source"
    source.touch()
    with source.open("r+b") as file:
        file.truncate(50_000_000)  # more than the kernel buffers
    plain.area.store_input(JOB, source, "in")
    with socket.create_connection((HOST, plain.port)) as peer:
        url = target(plain.signer.input_url(JOB, "in", 60))
        peer.sendall(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        runner = plain.server._runner
        assert runner is not None
        assert runner.server is not None
        await until(lambda: bool(runner.server.connections))  # type: ignore[union-attr]
        await until(lambda: not runner.server.connections)  # type: ignore[union-attr]
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
    assert plain.server.counts.requests == {("GET", "aborted"): 1}
    assert plain.server.counts.sent == 0


async def test_requests_are_counted_by_words_of_ours_with_their_bytes_and_seconds(
    plain: Served, tmp_path: Path
) -> None:
    plain.area.store_input(JOB, make_file(tmp_path / "source", b"0123456789"), "in")
    fetch, put = plain.signer.input_url(JOB, "in", 60), plain.signer.output_url(JOB, 1, 60, 100)
    async with aiohttp.ClientSession() as session:
        for method, url, data, headers in (
            ("GET", fetch, None, {}),
            ("GET", fetch, None, {"Range": "bytes=4-6"}),
            ("GET", f"{fetch}0", None, {}),
            ("PUT", put, b"output", {}),
            ("DELETE", put, None, {}),
        ):
            async with session.request(method, url, data=data, headers=headers) as response:
                await response.read()
    counts = plain.server.counts
    await until(lambda: counts.requests.total() == 5)
    assert counts.requests == {
        ("GET", "2xx"): 2,
        ("GET", "4xx"): 1,
        ("PUT", "2xx"): 1,
        ("other", "4xx"): 1,
    }
    assert (counts.sent, counts.received) == (13, 6)
    assert {method: one.count for method, one in counts.seconds.items()} == {"GET": 3, "PUT": 1, "other": 1}


async def test_a_server_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    writers: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda reader, writer: writers.append(writer), HOST, 0)
    port = silent.sockets[0].getsockname()[1]
    url = UrlSigner(f"http://{HOST}:{port}", SECRET, SystemClock()).output_url(JOB, 1, 60, len(BIG))
    client = HttpClient(stall=0.05, backoff=lambda failures: 0)
    with pytest.raises(TransferUnavailable, match="nothing moved for"):
        await client.put(make_file(tmp_path / "out", BIG), url, facts=facts_of(BIG))
    await client.close()
    assert len(writers) == TRIES
    for writer in writers:
        writer.transport.abort()
    silent.close()


async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        client = HttpClient(backoff=lambda failures: 0)
        with pytest.raises(TransferUnavailable, match="refused"):
            await client.get(f"http://{HOST}:{unused.getsockname()[1]}/x", tmp_path / "in")
        await client.close()


async def test_only_the_given_authority_is_trusted(served: Served, tmp_path: Path) -> None:
    served.area.store_input(JOB, make_file(tmp_path / "source", b"data"), "in")
    trusting_the_system = HttpClient(backoff=lambda failures: 0)
    with pytest.raises(TransferRefused, match="certificate is not trusted"):
        await trusting_the_system.get(served.signer.input_url(JOB, "in", 60), tmp_path / "in")
    await trusting_the_system.close()


async def test_stopping_lets_an_upload_end(tmp_path: Path) -> None:
    async with serving(tmp_path, tls=False) as served:
        url = target(served.signer.output_url(JOB, 1, 60, 100))
        reader, writer = await asyncio.open_connection(HOST, served.port)
        writer.write(f"PUT {url} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nda".encode())
        await until(lambda: names_below(served.area.root) != set())  # the temporary file: it is at work
        stopping = asyncio.create_task(served.server.stop())
        await until(lambda: not accepts(served.port))
        writer.write(b"ta")
        await stopping
        assert (await reader.read()).startswith(b"HTTP/1.1 201")
        writer.close()
        assert facts_of(served.area.output_path(JOB, 1).read_bytes()) == facts_of(b"data")


async def test_stopping_breaks_off_an_upload_that_does_not_end(tmp_path: Path) -> None:
    async with serving(tmp_path, tls=False) as served:
        served.server._grace = 0.1
        await served.server.stop()
        port = await served.server.start(HOST, 0)
        url = target(served.signer.output_url(JOB, 1, 60, 100))
        _, writer = await asyncio.open_connection(HOST, port)
        writer.write(f"PUT {url} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nda".encode())
        await until(lambda: names_below(served.area.root) != set())
        await served.server.stop()
        writer.close()
        assert names_below(served.area.root) == set()


async def test_a_port_that_is_taken_is_an_error_and_the_next_start_works(
    served: Served, tmp_path: Path
) -> None:
    other = FileServer(served.area, Verifier([SECRET]), clock=SystemClock())
    with pytest.raises(OSError, match="in use"):
        await other.start(HOST, served.port)
    assert await other.start(HOST, 0) != served.port
    await other.stop()
    await other.stop()


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


async def test_health_is_told_to_everybody_and_other_methods_to_nobody(served: Served) -> None:
    base = f"https://{HOST}:{served.port}"
    assert await status(served, "GET", f"{base}/healthz") == 200
    for method in ("HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND"):
        assert await status(served, method, f"{base}/healthz") == 405
    assert await status(served, "GET", f"{base}/") == 403


@pytest.mark.parametrize(
    "request_line", [b"GET /healthz HTTP/1.1", b"nonsense", b"GET /\xff\xfe?s=\xff&e=1 HTTP/1.1"]
)
async def test_no_answer_tells_versions_and_no_stranger_fills_the_log(
    plain: Served, request_line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    said = await answer(plain.port, request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"\r\nServer: copilot\r\n" in said
    assert b"ython" not in said
    assert b"aiohttp" not in said
    assert b"HTTP/1.1 500" not in said
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_the_access_log_shows_paths_without_signatures_or_line_breaks(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="copilot.files")
    await status(served, "GET", served.signer.input_url(JOB, "nothing", 60))
    await status(served, "GET", f"https://{HOST}:{served.port}/{quote(chr(10))}forged?s=1")
    lines = [record.getMessage() for record in caplog.records if record.name == "copilot.files"]
    assert any(f"GET '/{JOB}.a0/nothing': 404" in line for line in lines)
    assert not any("s=" in line or "\n" in line for line in lines)


async def test_an_authority_that_was_renewed_is_believed_without_a_new_client(
    served: Served, tmp_path: Path
) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(ensure(tmp_path / "other", ["localhost"]).ca_file.read_bytes())
    source = served.area.input_path("j", "input")
    source.parent.mkdir(parents=True)
    source.write_bytes(b"data")
    url = served.signer.input_url("j", "input", 60)
    files = Files.standard(ca_file=ca_file)
    with pytest.raises(TransferRefused, match="not trusted"):
        await files.get(url, tmp_path / "in")
    ca_file.write_text("none")
    with pytest.raises(TransferRefused, match="cannot be read as certificates"):
        files.trusting_anew()
    ca_file.write_bytes(served.ca_file.read_bytes())
    files.trusting_anew()()
    await files.get(url, tmp_path / "in")
    await files.close()


MEMORY_PROBE = """
import asyncio, hashlib, sys
from pathlib import Path
from copilot.files.base import FileFacts
from copilot.files.http import HttpClient
from tests.unit.files.serving import serving

def peak():  # in kB; not ru_maxrss, which a process inherits from the one that started it
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])

async def main(directory):
    async with serving(directory) as served:
        client = HttpClient(ca_file=served.ca_file)
        peaks = []
        for name, size in (("small", 1_000_000), ("large", 200_000_000)):
            source = served.area.input_path("j", name)
            source.parent.mkdir(exist_ok=True)
            with source.open("wb") as file:
                file.truncate(size)
            with source.open("rb") as file:
                facts = FileFacts(size, hashlib.file_digest(file, "sha256").hexdigest())
            await client.get(served.signer.input_url("j", name, 60), directory / "got", size=facts.size, sha256=facts.sha256)
            await client.put(source, served.signer.output_url("j", 1, 60, size), facts=facts)
            peaks.append(peak())
        await client.close()
    print(peaks[1] - peaks[0])

asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_large_file_needs_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", MEMORY_PROBE, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 20_000  # kB, server and client together
