"""Small outputs are written together, and each stands for itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from copilot.errors import NoSpace, TransferRefused
from copilot.files import many
from copilot.files.many import MANY, Small
from copilot.files.newfile import NewFile
from copilot.grid.done import DoneDirectory
from tests.unit.files.serving import names_below
from tests.unit.grid.test_done import settled


def write_all(root: Path, results: list[tuple[str, bytes]]) -> list[Exception | None]:
    """Write pairs of job and package."""
    return many.write_all(root, [Small(job, f"{job}.tgz", package) for job, package in results])


@pytest.mark.parametrize("count", [1, MANY, 3 * MANY])
def test_each_output_lies_in_its_place(tmp_path: Path, count: int) -> None:
    results = [(f"j{number}", f"package {number}".encode()) for number in range(count)]
    assert write_all(tmp_path, results) == [None] * count
    assert {path.parent.name: path.read_bytes() for path in tmp_path.glob("*/*.tgz")} == dict(results)
    assert names_below(tmp_path) == {f"j{number}/j{number}.tgz" for number in range(count)}


def test_what_lies_there_is_replaced(tmp_path: Path) -> None:
    for package in (b"old", b"new"):
        assert write_all(tmp_path, [("j", package)]) == [None]
    assert (tmp_path / "j" / "j.tgz").read_bytes() == b"new"
    assert names_below(tmp_path) == {"j/j.tgz"}


def test_the_directory_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "done").symlink_to(tmp_path / "there")
    assert write_all(tmp_path / "done", [("j", b"data")]) == [None]
    assert (tmp_path / "there" / "j" / "j.tgz").read_bytes() == b"data"


def test_nothing_has_its_name_before_all_of_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, commit, fsync = NewFile.sync, NewFile.commit, os.fsync

    monkeypatch.setattr(NewFile, "sync", lambda new: (done.append("sync"), sync(new)))
    monkeypatch.setattr(NewFile, "commit", lambda new, **how: (done.append("name"), commit(new, **how)))
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("fsync"), fsync(file)))
    write_all(tmp_path, [("a", b"1"), ("b", b"2")])
    names = [step for step in done if step != "fsync"]
    assert names == ["sync", "sync", "name", "name"]
    assert done[-3:] == ["fsync"] * 3  # two directories, and the one above them


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_files_and_their_directories_may_be_somebody_elses(tmp_path: Path) -> None:
    assert many.write_all(tmp_path, [Small("j.a0", "run.sh", b"")], owner=(12345, 54321)) == [None]
    for path in (tmp_path / "j.a0", tmp_path / "j.a0" / "run.sh"):
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 54321)


def test_one_that_fails_keeps_nobody_else_back(tmp_path: Path) -> None:
    (tmp_path / "b").symlink_to("/etc")
    (tmp_path / "c").write_text("no directory")
    none, link, file, last = write_all(tmp_path, [(name, b"data") for name in "abcd"])
    assert (none, last) == (None, None)
    assert isinstance(link, TransferRefused)
    assert isinstance(file, TransferRefused)
    assert names_below(tmp_path) == {"a/a.tgz", "c", "d/d.tgz"}


def test_a_disk_that_is_full_leaves_no_part_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: NewFile) -> None:
        raise NoSpace("the disk is full")

    monkeypatch.setattr(NewFile, "sync", full)
    (failure,) = write_all(tmp_path, [("j", b"data")])
    assert isinstance(failure, NoSpace)
    assert list((tmp_path / "j").iterdir()) == []


async def test_the_finisher_tells_what_could_not_be_done(tmp_path: Path) -> None:
    finisher = DoneDirectory(tmp_path)
    await finisher.finish_small(settled("a"), b"data")
    assert (tmp_path / "a" / "a.tgz").read_bytes() == b"data"
    (tmp_path / "b").symlink_to("/etc")
    with pytest.raises(TransferRefused, match="b"):
        await finisher.finish_small(settled("b"), b"data")
