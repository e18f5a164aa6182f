from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from copilot.errors import TransferRefused, TransferUnavailable
from copilot.files.base import FileFacts
from copilot.files.clients import Files
from tests.unit.files.serving import facts_of, make_file


class Recorder:
    """A client that writes down what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def get(
        self, url: str, path: Path, *, size: int | None = None, sha256: str | None = None
    ) -> FileFacts:
        self.asked.append(f"get {url} {size} {sha256}")
        return facts_of(b"")

    async def put(self, path: Path, url: str, *, facts: FileFacts) -> None:
        self.asked.append(f"put {url} {facts.size}")

    async def close(self) -> None:
        self.asked.append("close")


async def test_the_scheme_decides_and_schemes_may_share_a_client() -> None:
    made: list[Recorder] = []

    def web() -> Recorder:
        made.append(Recorder())
        return made[-1]

    def never() -> Recorder:
        raise AssertionError("no such URL came")

    files = Files({"http": web, "https": web, "chirp": never})
    assert made == []
    await files.get("http://host/in", Path("in"), size=1, sha256="ab")
    await files.put(Path("out"), "HTTPS://host/out", facts=facts_of(b"data"))
    await files.close()
    await files.close()
    assert [recorder.asked for recorder in made] == [
        ["get http://host/in 1 ab", "put HTTPS://host/out 4", "close"]
    ]


@pytest.mark.parametrize("url", ["gopher://host/in?s=secret", "in", "", "://x"])
async def test_an_unknown_scheme_is_refused_with_those_that_are_known(url: str) -> None:
    files = Files.standard()
    with pytest.raises(TransferRefused, match="known here are: chirp, file, http, https") as caught:
        await files.get(url, Path("in"))
    assert "secret" not in str(caught.value)


async def test_the_standard_table_serves_shared_directories(tmp_path: Path) -> None:
    files = Files.standard(shared=(tmp_path,))
    source = make_file(tmp_path / "in", b"data")
    assert await files.get(source.as_uri(), tmp_path / "got") == facts_of(b"data")


def test_aiohttp_is_imported_only_for_the_first_http_url(tmp_path: Path) -> None:
    make_file(tmp_path / "in", b"data")
    program = f"""
import asyncio, sys
from pathlib import Path
from copilot.errors import TransferError
from copilot.files.clients import Files

async def main():
    files = Files.standard(shared=(Path({str(tmp_path)!r}),))
    await files.get({(tmp_path / "in").as_uri()!r}, Path({str(tmp_path / "got")!r}))
    before = "aiohttp" in sys.modules
    try:
        await files.get("https://:1/", Path({str(tmp_path / "got")!r}))
    except TransferError:
        pass
    await files.close()
    print(before, "aiohttp" in sys.modules)

asyncio.run(main())
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("False True\n", "")


class Troubled(Recorder):
    async def get(
        self, url: str, path: Path, *, size: int | None = None, sha256: str | None = None
    ) -> FileFacts:
        raise TransferUnavailable("away")

    async def put(self, path: Path, url: str, *, facts: FileFacts) -> None:
        raise TransferUnavailable("away")


async def test_transfers_are_counted_by_scheme_and_direction() -> None:
    now = 100.0

    def clock() -> float:
        nonlocal now
        now += 0.125
        return now

    files = Files({"http": Recorder, "https": Recorder, "chirp": Troubled}, clock=clock)
    await files.put(Path("out"), "HTTPS://host/out", facts=facts_of(b"data"))
    await files.put(Path("out"), "http://host/out", facts=facts_of(b"more"))
    await files.get("http://host/in", Path("in"))
    with pytest.raises(TransferUnavailable):
        await files.get("chirp://host/in", Path("in"))
    with pytest.raises(TransferUnavailable):
        await files.put(Path("out"), "chirp://host/out", facts=facts_of(b"data"))
    counts = files.counts
    assert {way: (one.count, one.sum) for way, one in counts.seconds.items()} == {
        ("http", "store"): (2, 0.25),
        ("http", "fetch"): (1, 0.125),
    }
    assert counts.volume == {("http", "store"): 8, ("http", "fetch"): 0}
    assert counts.failures == {("chirp", "fetch"): 1, ("chirp", "store"): 1}
