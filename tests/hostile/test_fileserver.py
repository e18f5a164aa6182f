"""Bytes that are no decent request, written to the file server's socket; after each a decent one is served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from copilot.files.http import HttpClient
from tests.integration.test_fileserver import answer, target
from tests.patience import PATIENCE_S
from tests.unit.files.serving import Served, facts_of, make_file, names_below, serving

DATA = b"the output"
HEAD = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path, tls=False, stall=0.3) as running:
        yield running


def get(path: str) -> str:
    return f"GET {path} {HEAD}\r\n"


REQUESTS = {
    "no HTTP": ("\x16\x03\x01\x02\x00\x01\x00", "400"),
    "an endless first line": ("GET /" + "x" * 100_000, "400"),
    "an endless header": (f"GET /a {HEAD}X: {'x' * 100_000}", "400"),
    "headers without end": (f"GET /a {HEAD}" + "".join(f"X{n}: y\r\n" for n in range(10_000)), "400"),
    "a nul in a header": (f"GET /a {HEAD}X: \0\r\n\r\n", "400"),
    "a negative length": (f"PUT /a {HEAD}Content-Length: -1\r\n\r\n", "400"),
    "two lengths": (f"PUT /a {HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400"),
    "a length and chunks": (
        f"PUT /a {HEAD}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "400",
    ),
    "a method nobody has": (f"BREW /a {HEAD}\r\n", "400"),
    "a method we lack": (f"DELETE /job-1.a1/job-1.tgz {HEAD}\r\n", "405"),
    "a proxy request": (get("http://169.254.169.254/latest"), "403"),
    "semicolon": (get("/a;reboot/in?e=9999999999&s=x"), "403"),
    "newline": (get("/a%0aFLUSHALL/in?e=9999999999&s=x"), "403"),
    "nul": (get("/a%00/in?e=9999999999&s=x"), "403"),
    "no UTF-8": (get("/%ff%fe/in?e=9999999999&s=x"), "403"),
    "slash": (get("/a%2fb/in?e=9999999999&s=x"), "403"),
    "5,000 characters": (get(f"/{'x' * 5_000}/in?e=9999999999&s=x"), "403"),
    "no expiry": (get("/job-1/in?s=x"), "403"),
    "an expiry that is none": (get("/job-1/in?e=nan&s=x"), "403"),
    "an expiry without end": (get(f"/job-1/in?e={'9' * 5_000}&s=x"), "403"),
    "a signature twice": (get("/job-1/in?e=9999999999&s=x&s=y"), "403"),
    "no signature": (get("/job-1/in"), "403"),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_it_is_refused_with_a_code_and_the_next_upload_is_taken(
    served: Served, tmp_path: Path, name: str
) -> None:
    request, code = REQUESTS[name]
    said = await answer(served.port, request.encode("latin-1"))
    assert said.split()[1].decode() == code, said
    assert b"Traceback" not in said
    await stored(served, tmp_path)


async def test_an_upload_that_breaks_off_leaves_nothing_and_the_next_is_taken(
    served: Served, tmp_path: Path
) -> None:
    url = served.signer.output_url("job-1", 1, 60, 1000)
    for body in (b"", b"short"):
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(f"PUT {target(url)} {HEAD}Content-Length: 1000\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    await stored(served, tmp_path)


async def stored(served: Served, tmp_path: Path) -> None:
    """A decent upload arrives, and nothing else is there."""
    client = HttpClient()
    url = served.signer.output_url("job-1", 1, 60, 1000)
    await client.put(make_file(tmp_path / "out", DATA), url, facts=facts_of(DATA))
    await client.close()
    async with asyncio.timeout(PATIENCE_S):
        while len(names := names_below(served.area.root)) != 1:
            await asyncio.sleep(0.005)
    assert (served.area.root / names.pop()).read_bytes() == DATA
