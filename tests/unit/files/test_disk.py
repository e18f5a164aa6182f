from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from copilot.errors import NoSpace, TransferError, TransferRefused, TransferUnavailable
from copilot.files.disk import disk_errors, open_directory, open_file, open_file_below, remove_tree


@pytest.mark.parametrize(
    ("number", "meaning"),
    [
        (errno.ENOSPC, NoSpace),
        (errno.EDQUOT, NoSpace),
        (errno.EACCES, TransferRefused),
        (errno.ELOOP, TransferRefused),
        (errno.EIO, TransferUnavailable),
    ],
)
def test_each_error_of_the_disk_has_a_meaning(number: int, meaning: type[TransferError]) -> None:
    with pytest.raises(meaning, match=r"^reading x: ") as caught, disk_errors("reading x"):
        raise OSError(number, os.strerror(number))
    assert isinstance(caught.value.__cause__, OSError)


def test_the_root_may_be_a_symlink_but_nothing_below_it(tmp_path: Path) -> None:
    (tmp_path / "root" / "directory").mkdir(parents=True)
    (tmp_path / "root" / "directory" / "file").write_bytes(b"data")
    (tmp_path / "root" / "link").symlink_to("directory")
    (tmp_path / "entry").symlink_to("root")
    with open_file_below(tmp_path / "entry", "directory/file") as file:
        assert file.read() == b"data"
    with pytest.raises(OSError, match="link"):
        open_file_below(tmp_path / "entry", "link/file")


@pytest.mark.parametrize("kind", ["pipe", "directory"])
def test_only_plain_files_are_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "thing"
    path.mkdir() if kind == "directory" else os.mkfifo(path)
    with pytest.raises(TransferRefused):
        open_file(str(path))


def test_missing_directories_are_made_only_when_asked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_directory(tmp_path, ("a", "b"))
    for _ in range(2):
        os.close(open_directory(tmp_path, ("a", "b"), create=True))
    assert (tmp_path / "a" / "b").is_dir()


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - descriptors are not paths
    os.close(open_directory(tmp_path, ("a", "b"), create=True))
    with pytest.raises(FileNotFoundError):
        open_file_below(tmp_path, "a/b/c/d")
    with pytest.raises(TransferRefused):
        open_file_below(tmp_path, "a/b")
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


def test_a_tree_is_removed_and_what_a_symlink_names_is_not(tmp_path: Path) -> None:
    (tmp_path / "tree" / "below").mkdir(parents=True)
    (tmp_path / "kept").mkdir()
    (tmp_path / "tree" / "inside").symlink_to(tmp_path / "kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    for name in ("tree", "link", "nothing"):
        remove_tree(tmp_path, name)
        remove_tree(tmp_path, name)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
