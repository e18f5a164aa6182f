from __future__ import annotations

import os
from pathlib import Path

import pytest

from copilot.errors import TransferCorrupt, TransferRefused, TransferUnavailable
from copilot.files.newfile import NewFile
from tests.unit.files.serving import facts_of, make_file, names_below


def test_the_name_appears_with_the_whole_contents(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with NewFile.at(path) as new:
        new.write(b"da")
        assert not path.exists()
        new.write(bytearray(b"ta"))
        new.commit()
        assert path.read_bytes() == b"data"
    assert new.facts == facts_of(b"data")
    assert names_below(tmp_path) == {"file"}


def test_without_commit_all_is_as_before(tmp_path: Path) -> None:
    path = make_file(tmp_path / "file", b"before")
    with NewFile.at(path) as new:
        new.write(b"after")
    assert path.read_bytes() == b"before"
    assert names_below(tmp_path) == {"file"}


def test_restarting_forgets_what_was_written(tmp_path: Path) -> None:
    with NewFile.at(tmp_path / "file") as new:
        new.write(b"something longer")
        new.restart()
        new.write(b"data")
        new.commit()
    assert (tmp_path / "file").read_bytes() == b"data"
    assert new.facts == facts_of(b"data")


def test_a_symlink_of_that_name_is_replaced_not_followed(tmp_path: Path) -> None:
    outside = make_file(tmp_path / "outside", b"outside")
    (tmp_path / "file").symlink_to(outside)
    with NewFile.at(tmp_path / "file") as new:
        new.commit()
    assert outside.read_bytes() == b"outside"
    assert not (tmp_path / "file").is_symlink()


def test_a_directory_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(TransferRefused), NewFile.at(tmp_path / "file") as new:
        new.commit()
    assert names_below(tmp_path) == set()


def test_the_longest_name_is_possible(tmp_path: Path) -> None:
    with NewFile.below(tmp_path, f"{'d' * 255}/{'n' * 255}", create=True) as new:
        new.commit()
    assert names_below(tmp_path) == {f"{'d' * 255}/{'n' * 255}"}


@pytest.mark.parametrize(("size", "sha256"), [(3, None), (None, "0" * 64)])
def test_other_facts_than_expected_are_corrupt(tmp_path: Path, size: int | None, sha256: str | None) -> None:
    with NewFile.at(tmp_path / "file") as new:
        new.write(b"data")
        new.check("in", size=4, sha256=facts_of(b"data").sha256.upper())
        with pytest.raises(TransferCorrupt, match=r"^in: "):
            new.check("in", size=size, sha256=sha256)


def test_a_thread_that_comes_late_touches_no_other_file(tmp_path: Path) -> None:
    with NewFile.at(tmp_path / "file") as new:
        pass
    other = os.open(tmp_path / "other", os.O_CREAT | os.O_RDWR)  # gets the descriptor that became free
    for late in (lambda: new.write(b"data"), new.restart, new.commit):
        with pytest.raises(TransferUnavailable):
            late()
    os.close(other)
    assert (tmp_path / "other").read_bytes() == b""
    assert names_below(tmp_path) == {"other"}


def test_a_directory_that_is_gone_is_refused_and_let_go(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    descriptor = os.open(tmp_path / "gone", os.O_RDONLY)
    (tmp_path / "gone").rmdir()
    with pytest.raises(TransferRefused):
        NewFile(descriptor, "file")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
