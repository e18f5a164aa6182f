from __future__ import annotations

import os
from pathlib import Path

import pytest

from copilot.errors import BadName, TransferRefused
from copilot.files.area import FileArea, input_name, output_name, split_input_name, split_output_name
from tests.unit.files.serving import facts_of, make_file, names_below


@pytest.fixture
def area(tmp_path: Path) -> FileArea:
    (tmp_path / "area").mkdir()
    return FileArea(tmp_path / "area")


def store_output(area: FileArea, data: bytes, attempt: int = 1) -> None:
    area.prepare_output("j", attempt)
    with area.new_output("j", attempt) as new:
        new.write(data)
        new.commit()


def test_names_are_those_of_the_layout_and_can_be_split() -> None:
    assert input_name("j.1", "a/b c") == "j.1.a0/a/b c"
    assert split_input_name("j.1.a0/a/b c") == ("j.1", "a/b c")
    assert output_name("j.1", 1) == "j.1/j.1.tgz"
    assert split_output_name("j.1/j.1.tgz") == ("j.1", 1)
    assert output_name("j.1", 12) == "j.1.a12/j.1.a12.tgz"
    assert split_output_name("j.1.a12/j.1.a12.tgz") == ("j.1", 12)


@pytest.mark.parametrize(
    ("job", "name"),
    [
        ("../j", "in"),
        ("j", "../in"),
        ("j", "/in"),
        ("j", ""),
        ("", "in"),
        ("j.a1", "in"),
        ("j", ".__acl"),
        ("j", "deep/.__acl"),
    ],
)
def test_no_other_input_name_is_taken(job: str, name: str) -> None:
    with pytest.raises(BadName):
        input_name(job, name)
    with pytest.raises(BadName):
        split_input_name(f"{job}.a0/{name}")


@pytest.mark.parametrize("path", ["j/in", "j.a1/in", "j.a00/in", ".sealed/j.tgz", "in"])
def test_inputs_are_nowhere_but_in_the_directory_before_the_first_attempt(path: str) -> None:
    with pytest.raises(BadName):
        split_input_name(path)


@pytest.mark.parametrize(
    "path",
    [
        "j.a0/j.a0.tgz",
        "j.a1/j.a1.tgz",
        "j.a02/j.a02.tgz",
        "j.a2/j.tgz",
        "j.a2/j.a3.tgz",
        "j/j.tgz/",
        "j/j.tgz\n",
        "../...tgz",
        ".sealed/j.tgz",
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
    assert area.output_path("j", 1).read_bytes() == b"data"


def test_an_area_that_is_not_there_is_refused_with_its_path(tmp_path: Path) -> None:
    nowhere = FileArea(tmp_path / "nowhere")
    with pytest.raises(TransferRefused, match="nowhere"):
        nowhere.drop_inputs("j")
    with pytest.raises(TransferRefused, match="nowhere"):
        nowhere.seal("j", 1, copy=False)


@pytest.fixture(params=[False, True], ids=["moved", "copied"])
def copy(request: pytest.FixtureRequest) -> bool:
    """Both ways to seal."""
    return bool(request.param)


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_sealed_output_is_where_no_upload_goes(area: FileArea, copy: bool, attempt: int) -> None:
    store_output(area, b"data", attempt)
    assert area.seal("j", attempt, copy=copy) == facts_of(b"data")
    assert area.sealed_path("j", attempt).read_bytes() == b"data"
    assert not area.output_path("j", attempt).exists()
    with pytest.raises(BadName):
        split_output_name(str(area.sealed_path("j", attempt).relative_to(area.root)))


def test_sealing_again_keeps_what_is_sealed_until_something_new_comes(area: FileArea, copy: bool) -> None:
    store_output(area, b"data")
    for _ in range(2):
        assert area.seal("j", 1, copy=copy) == facts_of(b"data")
    store_output(area, b"once more")
    for _ in range(2):
        assert area.seal("j", 1, copy=copy) == facts_of(b"once more")
    assert names_below(area.root) == {".sealed/j.tgz"}


def test_where_nothing_was_uploaded_nothing_is_sealed(area: FileArea, copy: bool) -> None:
    assert area.seal("j", 1, copy=copy) is None
    area.prepare_output("j", 1)
    assert area.seal("j", 1, copy=copy) is None


@pytest.mark.parametrize("kind", ["symlink", "pipe", "directory"])
def test_what_an_agent_left_instead_of_a_file_is_neither_read_nor_taken(
    area: FileArea, tmp_path: Path, copy: bool, kind: str
) -> None:
    area.prepare_output("j", 1)
    left = area.output_path("j", 1)
    match kind:
        case "symlink":
            left.symlink_to(make_file(tmp_path / "secret", b"secret"))
        case "pipe":
            os.mkfifo(left)
        case _:
            left.mkdir()
    assert area.seal("j", 1, copy=copy) is None
    assert not area.sealed_path("j", 1).exists()
    area.drop_attempt("j", 1)
    assert not left.parent.exists()


def test_who_still_has_the_file_open_cannot_change_the_copy(area: FileArea) -> None:
    store_output(area, b"data")
    with area.output_path("j", 1).open("r+b") as late:
        facts = area.seal("j", 1, copy=True)
        late.write(b"DATA")
    assert facts == facts_of(b"data")
    assert area.sealed_path("j", 1).read_bytes() == b"data"


def test_an_instance_that_comes_second_finds_what_the_first_has_sealed(
    area: FileArea, copy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_output(area, b"data")
    first, looked = FileArea(area.root), FileArea._is_file

    def too_late(self: FileArea, relative: str) -> bool:
        found = looked(self, relative)
        if self is area and relative == "j/j.tgz":
            first.seal("j", 1, copy=copy)
        return found

    monkeypatch.setattr(FileArea, "_is_file", too_late)
    assert area.seal("j", 1, copy=copy) == facts_of(b"data")


def test_dropping_removes_one_attempt_or_the_inputs_and_is_idempotent(area: FileArea, tmp_path: Path) -> None:
    area.store_input("j", make_file(tmp_path / "source", b"data"), "deep/in")
    store_output(area, b"one", 1)
    store_output(area, b"two", 2)
    for _ in range(2):
        area.drop_attempt("j", 1)
    assert names_below(area.root) == {"j.a0/deep/in", "j.a2/j.a2.tgz"}
    for _ in range(2):
        area.drop_inputs("j")
    assert names_below(area.root) == {"j.a2/j.a2.tgz"}
    area.seal("j", 2, copy=False)
    for _ in range(2):
        area.drop_attempt("j", 2)
    assert names_below(area.root) == set()


def test_dropping_never_follows_a_symlink(area: FileArea, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    make_file(outside / "file", b"data")
    (area.root / "j.a0").symlink_to(outside)
    (area.root / "j").mkdir()
    (area.root / "j" / "link").symlink_to(outside)
    area.drop_inputs("j")
    area.drop_attempt("j", 1)
    assert list(area.root.iterdir()) == []
    assert names_below(outside) == {"file"}
