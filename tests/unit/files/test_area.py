from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from copilot.errors import BadName, TransferRefused
from copilot.files.area import FileArea, input_name, output_name, split_input_name, split_output_name
from copilot.files.newfile import NewFile
from tests.unit.files.serving import facts_of, make_file, names_below


@pytest.fixture
def area(tmp_path: Path) -> FileArea:
    (tmp_path / "area").mkdir()
    return FileArea(tmp_path / "area")


@pytest.fixture
def done(tmp_path: Path) -> Path:
    (tmp_path / "done").mkdir()
    return tmp_path / "done" / "j" / "j.tgz"


def store_output(area: FileArea, data: bytes, attempt: int = 1) -> None:
    area.prepare_output("j", attempt)
    with area.new_output("j", attempt) as new:
        new.write(data)
        new.commit()


def test_names_are_those_of_the_layout_and_can_be_split() -> None:
    assert input_name("j.1", "a/b c") == "j.1/a/b c"
    assert split_input_name("j.1/a/b c") == ("j.1", "a/b c")
    assert output_name("j.1", 12) == "j.1.a12/j.1.tgz"
    assert split_output_name("j.1.a12/j.1.tgz") == ("j.1", 12)


@pytest.mark.parametrize(
    ("job", "name"), [("../j", "in"), ("j", "../in"), ("j", "/in"), ("j", ""), ("", "in"), ("j.a1", "in")]
)
def test_no_other_input_name_is_taken(job: str, name: str) -> None:
    with pytest.raises(BadName):
        input_name(job, name)
    with pytest.raises(BadName):
        split_input_name(f"{job}/{name}")


@pytest.mark.parametrize(
    "path",
    [
        "j.a0/j.tgz",
        "j.a01/j.tgz",
        "j.a1/k.tgz",
        "j.a1/j.tgz/",
        "j.a1/j.tgz\n",
        "j/j.tgz",
        "..a1/..tgz",
        "j.a-1/j.tgz",
    ],
)
def test_no_other_output_name_is_taken(path: str) -> None:
    with pytest.raises(BadName):
        split_output_name(path)


def test_attempts_count_from_one(area: FileArea) -> None:
    with pytest.raises(BadName):
        area.prepare_output("j", 0)


def test_an_input_is_a_copy_with_the_facts_of_the_copy(area: FileArea, tmp_path: Path) -> None:
    source = make_file(tmp_path / "source", b"data")
    assert area.store_input("j", source, "deep/in") == facts_of(b"data")
    source.write_bytes(b"changed")
    assert area.input_path("j", "deep/in").read_bytes() == b"data"
    with area.open_input("j", "deep/in") as file:
        assert file.read() == b"data"


def test_a_link_of_the_users_own_is_read_through(area: FileArea, tmp_path: Path) -> None:
    make_file(tmp_path / "source", b"data")
    (tmp_path / "link").symlink_to("source")
    area.store_input("j", tmp_path / "link", "in")
    assert not area.input_path("j", "in").is_symlink()


def test_preparing_twice_is_fine_and_keeps_what_is_there(area: FileArea) -> None:
    store_output(area, b"data")
    area.prepare_output("j", 1)
    assert area.facts("j", 1) == facts_of(b"data")


def test_an_area_that_is_not_there_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(TransferRefused, match="nowhere"):
        FileArea(tmp_path / "nowhere").drop_inputs("j")


def test_facts_of_a_missing_output_are_refused(area: FileArea) -> None:
    area.prepare_output("j", 1)
    with pytest.raises(TransferRefused, match=r"j\.a1/j\.tgz"):
        area.facts("j", 1)


@pytest.mark.parametrize("kind", ["symlink", "pipe"])
def test_what_an_agent_left_instead_of_a_file_is_neither_read_nor_taken(
    area: FileArea, tmp_path: Path, done: Path, kind: str
) -> None:
    area.prepare_output("j", 1)
    secret = make_file(tmp_path / "secret", b"secret")
    left = area.output_path("j", 1)
    left.symlink_to(secret) if kind == "symlink" else os.mkfifo(left)
    with pytest.raises(TransferRefused):
        area.facts("j", 1)
    with pytest.raises(TransferRefused):
        area.take_output("j", 1, done)
    assert not done.exists()


@pytest.fixture(params=["same file system", "other file system"])
def file_systems(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "same file system":
        return
    rename = os.rename

    def rename_within(
        source: Any, target: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        if dst_dir_fd is None:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", rename_within)


@pytest.mark.usefixtures("file_systems")
def test_an_output_is_taken_once_and_taking_it_again_is_fine(area: FileArea, done: Path) -> None:
    store_output(area, b"data")
    for _ in range(2):
        area.take_output("j", 1, done)
        assert done.read_bytes() == b"data"
    assert names_below(area.root) == set()
    assert names_below(done.parent) == {"j.tgz"}


@pytest.mark.usefixtures("file_systems")
def test_an_output_that_was_never_there_is_refused(area: FileArea, done: Path) -> None:
    area.prepare_output("j", 1)
    with pytest.raises(TransferRefused):
        area.take_output("j", 1, done)
    assert not done.exists()


def test_a_crash_in_the_middle_of_a_copy_leaves_nothing_after_the_next_try(
    area: FileArea, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_output(area, b"data")
    done.parent.mkdir()
    torn = NewFile.at(done)  # never left: its process died
    torn.write(b"da")
    area.take_output("j", 1, done)
    assert names_below(done.parent) == {"j.tgz"}
    assert done.read_bytes() == b"data"
    torn.__exit__(None, None, None)


def test_a_crash_between_copying_and_removing_is_made_good(
    area: FileArea, done: Path, tmp_path: Path
) -> None:
    store_output(area, b"data")
    done.parent.mkdir()
    make_file(done, b"data")
    area.take_output("j", 1, done)
    assert done.read_bytes() == b"data"
    assert names_below(area.root) == set()


def test_over_real_file_systems_an_output_is_copied(area: FileArea, tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm")
    if not os.access(elsewhere, os.W_OK) or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to write to")
    store_output(area, b"data")
    target = elsewhere / f"copilot-test-{os.getpid()}" / "j" / "j.tgz"
    target.parent.parent.mkdir()
    try:
        area.take_output("j", 1, target)
        assert names_below(target.parent) == {"j.tgz"}
        assert names_below(area.root) == set()
    finally:
        FileArea(elsewhere).drop_inputs(target.parent.parent.name)


def test_the_final_directory_must_have_its_parent(area: FileArea, tmp_path: Path) -> None:
    store_output(area, b"data")
    with pytest.raises(TransferRefused):
        area.take_output("j", 1, tmp_path / "nowhere" / "j" / "j.tgz")
    assert area.facts("j", 1) == facts_of(b"data")


def test_dropping_removes_one_attempt_or_the_inputs_and_is_idempotent(area: FileArea, tmp_path: Path) -> None:
    area.store_input("j", make_file(tmp_path / "source", b"data"), "deep/in")
    store_output(area, b"one", 1)
    store_output(area, b"two", 2)
    for _ in range(2):
        area.drop_attempt("j", 1)
    assert names_below(area.root) == {"j/deep/in", "j.a2/j.tgz"}
    for _ in range(2):
        area.drop_inputs("j")
    assert names_below(area.root) == {"j.a2/j.tgz"}


def test_dropping_never_follows_a_symlink(area: FileArea, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    make_file(outside / "file", b"data")
    (area.root / "j").symlink_to(outside)
    (area.root / "j.a1").mkdir()
    (area.root / "j.a1" / "link").symlink_to(outside)
    area.drop_inputs("j")
    area.drop_attempt("j", 1)
    assert list(area.root.iterdir()) == []
    assert names_below(outside) == {"file"}
