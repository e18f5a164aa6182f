from __future__ import annotations

import os
from pathlib import Path

import pytest

from copilot.errors import TransferRefused
from copilot.files.area import FileArea
from copilot.files.leftovers import AttemptDirectory, attempt_directories, measure


def test_only_directories_of_attempts_are_found(tmp_path: Path) -> None:
    area = FileArea(tmp_path)
    area.prepare_output("j", 2)
    area.prepare_output("j.x", 12)
    for name in (".sealed", "j", "j.a0", "j.a02", "-x.a1", "a b.a1", "j.a1.a2"):
        (tmp_path / name).mkdir()
    (tmp_path / "file.a1").touch()
    (tmp_path / "link.a1").symlink_to(tmp_path / "j")
    found = {(one.job, one.attempt): one.name for one in attempt_directories(tmp_path)}
    assert found == {("j", 1): "j", ("j", 2): "j.a2", ("j.x", 12): "j.x.a12"}
    assert AttemptDirectory(job="j", attempt=2, name="j.a2") in attempt_directories(tmp_path)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TransferRefused, match="nowhere"):
        attempt_directories(tmp_path / "nowhere")


def test_a_tree_is_as_large_as_its_files_and_as_young_as_the_youngest(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (below / "one").write_bytes(b"x" * 10)
    (tmp_path / "a" / "two").write_bytes(b"x" * 5)
    (tmp_path / "large").write_bytes(b"x" * 1000)
    (below / "link").symlink_to(tmp_path / "large")
    os.utime(below / "link", (500, 500), follow_symlinks=False)
    for path, changed in (
        (below / "one", 300),
        (below, 200),
        (tmp_path / "a" / "two", 100),
        (tmp_path / "a", 50),
    ):
        os.utime(path, (changed, changed))
    tree = measure(tmp_path, "a")
    assert tree is not None
    assert (tree.size, tree.changed) == (15, 500)


def test_what_is_no_directory_is_not_measured(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    assert [measure(tmp_path, name) for name in ("file", "link", "nothing")] == [None, None, None]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_a_tree_that_we_may_not_look_into_is_named(tmp_path: Path) -> None:
    (tmp_path / "a" / "closed").mkdir(parents=True)
    (tmp_path / "a" / "closed").chmod(0)
    with pytest.raises(TransferRefused, match="looking into"):
        measure(tmp_path, "a")
    (tmp_path / "a" / "closed").chmod(0o700)
