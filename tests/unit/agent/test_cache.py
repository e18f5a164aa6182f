"""Input files that are fetched once for many jobs, and never given out as what they are not."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from copilot.agent.cache import LARGEST_PART, InputCache
from copilot.errors import NoSpace, TransferUnavailable

QUOTA = 4000


class Server:
    """Where files come from, and how often they were asked for."""

    def __init__(self, root: Path, quota: int = QUOTA) -> None:
        self.root = root
        self.asked: list[bytes] = []
        self.error: Exception | None = None
        self.cache = InputCache(root / "inputs", quota)

    async def fetch(self, data: bytes, name: str = "got", *, sha256: str | None = None) -> bytes:
        """Have a file with these contents in a job's directory; what is there then."""
        path = self.root / name
        path.unlink(missing_ok=True)

        async def download() -> None:
            self.asked.append(data)
            await asyncio.sleep(0)
            if self.error is not None:
                raise self.error
            path.write_bytes(data)

        digest = hashlib.sha256(data).hexdigest() if sha256 is None else sha256
        await self.cache.fetch(path, size=len(data), sha256=digest, download=download)
        return path.read_bytes()

    def kept(self) -> set[int]:
        """The sizes of what is kept."""
        return {path.stat().st_size for path in (self.root / "inputs").glob("*")}


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


async def test_the_second_job_gets_the_file_from_here(server: Server) -> None:
    for name in ("one", "two"):
        assert await server.fetch(b"data", name) == b"data"
    assert server.asked == [b"data"]
    assert server.cache.counts.cache_hits == 1


async def test_a_job_may_change_its_copy(server: Server) -> None:
    await server.fetch(b"data", "one")
    (server.root / "one").write_bytes(b"DATA")
    assert await server.fetch(b"data", "two") == b"data"


async def test_it_outlives_the_agent(server: Server) -> None:
    await server.fetch(b"data")
    after = Server(server.root)
    assert await after.fetch(b"data") == b"data"
    assert after.asked == []


async def test_two_that_want_it_at_the_same_moment_fetch_it_once(server: Server) -> None:
    got = await asyncio.gather(*(server.fetch(b"data", str(number)) for number in range(5)))
    assert got == [b"data"] * 5
    assert len(server.asked) == 1


async def test_what_somebody_has_changed_here_is_fetched_anew(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    await server.fetch(b"data")
    (kept,) = (server.root / "inputs").iterdir()
    kept.write_bytes(b"evil")
    assert await server.fetch(b"data") == b"data"
    assert len(server.asked) == 2
    assert "fetching it again" in caplog.text
    assert kept.read_bytes() == b"data"


async def test_a_link_that_somebody_has_put_here_is_not_followed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "inputs").mkdir()
    (tmp_path / "secret").write_bytes(b"data")
    (tmp_path / "inputs" / hashlib.sha256(b"data").hexdigest()).symlink_to(tmp_path / "secret")
    assert await server.fetch(b"data") == b"data"
    assert server.asked == [b"data"]


async def test_what_was_used_longest_ago_goes_first(server: Server) -> None:
    for size in (900, 950, 1000):
        await server.fetch(bytes(size))
    for path in (server.root / "inputs").iterdir():
        os.utime(path, (path.stat().st_size, path.stat().st_size))
    await server.fetch(bytes(900))  # now it is the last
    await server.fetch(bytes(960))
    await server.fetch(bytes(970))
    assert server.kept() == {900, 1000, 960, 970}


async def test_large_files_and_all_without_a_quota_are_fetched_each_time(server: Server) -> None:
    large = bytes(QUOTA // LARGEST_PART + 1)
    nothing = Server(server.root / "..", quota=0)
    for _ in range(2):
        await server.fetch(large)
        await nothing.fetch(b"data")
    assert (len(server.asked), len(nothing.asked)) == (2, 2)
    assert not (server.root / "inputs").exists()


@pytest.mark.parametrize("sha256", ["../../../etc/passwd", "0" * 63, "G" * 64, ""])
async def test_nothing_but_a_hash_becomes_a_name(server: Server, sha256: str) -> None:
    assert await server.fetch(b"data", sha256=sha256) == b"data"
    assert not (server.root / "inputs").exists()


async def test_what_cannot_be_fetched_is_told_and_tried_again_the_next_time(server: Server) -> None:
    server.error = TransferUnavailable("away")
    with pytest.raises(TransferUnavailable):
        await server.fetch(b"data")
    server.error = None
    assert await server.fetch(b"data") == b"data"


async def test_what_is_not_ours_stays(server: Server) -> None:
    (server.root / "inputs").mkdir()
    (server.root / "inputs" / "thesis").write_bytes(bytes(10 * QUOTA))
    await server.fetch(b"data")
    assert server.cache.clear()
    assert not server.cache.clear()
    assert server.kept() == {10 * QUOTA}


async def test_a_full_disk_empties_it(server: Server) -> None:
    await server.fetch(b"data")
    server.error = NoSpace("full")
    with pytest.raises(NoSpace):
        await server.fetch(b"other")
    assert server.kept() == set()
