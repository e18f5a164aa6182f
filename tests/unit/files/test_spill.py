"""A file in the making stays in memory as long as it is small."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from copilot.errors import TransferUnavailable
from copilot.files.base import FileFacts
from copilot.files.spill import Spill


def facts(data: bytes) -> FileFacts:
    return FileFacts(size=len(data), sha256=hashlib.sha256(data).hexdigest())


def test_what_is_small_never_touches_the_disk(tmp_path: Path) -> None:
    with Spill(tmp_path / "file", 6) as new:
        new.write(b"abc")
        new.write(b"def")
        assert new.commit(durable=False) == b"abcdef"
        assert new.facts == facts(b"abcdef")
    assert list(tmp_path.iterdir()) == []


def test_what_grows_is_a_file_from_its_first_byte(tmp_path: Path) -> None:
    with Spill(tmp_path / "file", 5) as new:
        for part in (b"abc", b"def", b"ghi"):
            new.write(part)
        assert new.size == 9
        assert new.commit(durable=False) is None
    assert new.facts == facts(b"abcdefghi")
    assert (tmp_path / "file").read_bytes() == b"abcdefghi"


def test_what_is_left_without_a_commit_leaves_nothing(tmp_path: Path) -> None:
    with Spill(tmp_path / "file", 0) as new:
        new.write(b"abc")
    assert list(tmp_path.iterdir()) == []


def test_a_thread_that_writes_on_after_that_is_told(tmp_path: Path) -> None:
    with Spill(tmp_path / "file", 5) as new:
        new.write(b"abc")
    with pytest.raises(TransferUnavailable, match="given up"):
        new.write(b"def")
    assert list(tmp_path.iterdir()) == []
