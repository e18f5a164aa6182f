"""What a job has printed, out of its packed output."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from copilot.client.stored import package_here, printed
from copilot.store.memory import MemoryStore
from copilot.store.watched import Stream


def packed(**files: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"j/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return made.getvalue()


def test_a_stream_is_read_from_an_offset_or_from_its_end(tmp_path: Path) -> None:
    package = packed(stdout=b"hello", stderr=b"trouble")
    file = tmp_path / "j.tgz"
    file.write_bytes(package)
    for source in (package, file):
        assert printed(source, "j", Stream.STDOUT, 0) == b"hello"
        assert printed(source, "j", Stream.STDERR, 4) == b"ble"
        assert printed(source, "j", Stream.STDOUT, -2) == b"lo"
        assert printed(source, "j", Stream.STDOUT, -99) == b"hello"
        assert printed(source, "j", Stream.STDOUT, 99) == b""


def test_what_cannot_be_read_has_nothing_in_it(tmp_path: Path) -> None:
    assert printed(b"no archive", "j", Stream.STDOUT, 0) == b""
    assert printed(packed(stdout=b"x")[:20], "j", Stream.STDOUT, 0) == b""
    assert printed(tmp_path / "missing", "j", Stream.STDOUT, 0) == b""
    assert printed(packed(result=b"x"), "j", Stream.STDOUT, 0) == b""


async def test_a_package_that_is_not_here_is_none(tmp_path: Path) -> None:
    store = MemoryStore()
    assert await package_here(store, "j", None) is None
    assert await package_here(store, "j", tmp_path) is None
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / "j.tgz").write_bytes(b"x")
    assert await package_here(store, "j", tmp_path) == tmp_path / "j" / "j.tgz"
