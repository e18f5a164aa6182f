"""Directories that are used again: only those that their payload left as they were."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from copilot.agent.spares import MOST, MOST_BYTES, MOST_FILES, Spares


def made(jobs: Path, name: str) -> Path:
    for directory in (jobs / name, jobs / name / "payload", jobs / name / "tmp"):
        directory.mkdir(mode=0o700, parents=True)
    return jobs / name


def test_a_directory_is_cleared_and_becomes_the_next_one(tmp_path: Path) -> None:
    spares, old = Spares(tmp_path), made(tmp_path, "old.a1")
    for name in ("stdout", "token", "payload/run.sh", "tmp/scratch"):
        (old / name).write_text("old")
    (old / "payload").chmod(0o777)
    assert spares.put(old)
    assert spares.take(tmp_path / "new.a1")
    assert [path.name for path in tmp_path.iterdir()] == ["new.a1"]
    assert sorted(path.name for path in (tmp_path / "new.a1").rglob("*")) == ["payload", "tmp"]
    assert (tmp_path / "new.a1" / "payload").stat().st_mode & 0o777 == 0o700


def test_without_a_spare_one_there_is_nothing_to_take(tmp_path: Path) -> None:
    assert not Spares(tmp_path).take(tmp_path / "new.a1")
    assert list(tmp_path.iterdir()) == []


def subdirectory(directory: Path) -> None:
    (directory / "payload" / "below").mkdir()


def more_than_few(directory: Path) -> None:
    for number in range(MOST_FILES + 1):
        (directory / "payload" / str(number)).touch()


def elsewhere(directory: Path) -> None:
    (directory / "payload").rmdir()
    (directory / "payload").symlink_to("/etc")


def gone(directory: Path) -> None:
    (directory / "tmp").rmdir()


def marked(directory: Path) -> None:
    try:
        os.setxattr(directory / "payload", "user.mark", b"1")
    except OSError:
        pytest.skip("this file system knows no extended attributes")


def beside_the_payload(directory: Path) -> None:
    for number in range(10):
        (directory / f"scratch{number}").touch()


def a_directory_beside_it(directory: Path) -> None:
    for number in range(5):
        (directory / f"scratch{number}").touch()
    (directory / "sub").mkdir()


def large(directory: Path) -> None:
    (directory / "payload" / "result").write_bytes(bytes(MOST_BYTES + 1))


@pytest.mark.parametrize(
    "unusual",
    [
        subdirectory,
        more_than_few,
        beside_the_payload,
        a_directory_beside_it,
        large,
        elsewhere,
        gone,
        marked,
    ],
)
def test_what_is_unusual_is_left_to_be_removed(tmp_path: Path, unusual: Callable[[Path], None]) -> None:
    spares, old = Spares(tmp_path), made(tmp_path, "old.a1")
    unusual(old)
    assert not spares.put(old)
    assert not spares.take(tmp_path / "new.a1")
    assert Path("/etc/passwd").exists()


def test_only_so_many_are_kept(tmp_path: Path) -> None:
    spares = Spares(tmp_path)
    kept = [spares.put(made(tmp_path, f"j{number}.a1")) for number in range(MOST + 1)]
    assert kept == [True] * MOST + [False]
    spares.clear()
    assert [path.name for path in tmp_path.iterdir()] == [f"j{MOST}.a1"]
    assert not spares.take(tmp_path / "new.a1")


def test_a_spare_one_that_somebody_has_removed_is_not_missed(tmp_path: Path) -> None:
    spares = Spares(tmp_path)
    for name in ("one.a1", "two.a1"):
        assert spares.put(made(tmp_path, name))
    for path in (tmp_path / ".spare-2").rglob("*"):
        path.rmdir()
    (tmp_path / ".spare-2").rmdir()
    assert spares.take(tmp_path / "new.a1")
    assert not spares.take(tmp_path / "other.a1")


def test_what_cannot_be_removed_keeps_no_agent_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".spare-1").write_text("no directory")
    made(tmp_path, ".spare-2")
    made(tmp_path, ".trial-of-a-sandbox")  # by an agent that was killed at its start
    Spares(tmp_path).clear()
    assert [path.name for path in tmp_path.iterdir()] == [".spare-1"]
    assert "cannot be removed" in caplog.text
