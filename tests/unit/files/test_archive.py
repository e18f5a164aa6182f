"""Packing: what gets in, what does not and is told, and that the archive is sound whatever happens."""

from __future__ import annotations

import hashlib
import os
import socket
import tarfile
import threading
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from copilot.errors import TransferRefused, TransferUnavailable
from copilot.files import archive as module
from copilot.files.archive import pack
from copilot.files.newfile import NewFile
from tests.patience import PATIENCE_S

LIMIT = 1024 * 1024


class Place:
    """A payload's directory with its streams, and the package made of them."""

    def __init__(self, root: Path) -> None:
        self.payload = root / "payload"
        self.payload.mkdir()
        self.streams = {"stdout": root / "stdout", "stderr": root / "stderr"}
        for name, path in self.streams.items():
            path.write_text(f"{name} of the job")
        self.path = root / "job.tgz"

    def pack(self, *, leave_out: Collection[str] = (), limit: int = LIMIT) -> tuple[str, ...]:
        with NewFile.at(self.path) as new:
            notes = pack(new, "job", self.payload, streams=self.streams, leave_out=leave_out, limit=limit)
            new.commit()
            assert new.facts.sha256 == hashlib.sha256(self.path.read_bytes()).hexdigest()
            assert new.facts.size == self.path.stat().st_size
        return notes

    def members(self) -> dict[str, tarfile.TarInfo]:
        with tarfile.open(self.path) as archive:
            return {member.name: member for member in archive}

    def text(self, name: str) -> str:
        with tarfile.open(self.path) as archive:
            file = archive.extractfile(name)
            assert file
            return file.read().decode()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_streams_come_first_then_the_rest_in_order(place: Place) -> None:
    (place.payload / "b").mkdir()
    for name in ("b/z", "b/a", "c", "B"):
        (place.payload / name).write_text(name)
    assert place.pack() == ()
    names = ["stdout", "stderr", "B", "b", "b/a", "b/z", "c"]
    assert list(place.members()) == [f"job/{name}" for name in names]
    assert place.text("job/b/z") == "b/z"
    assert place.text("job/stdout") == "stdout of the job"


def test_the_same_contents_make_the_same_bytes(place: Place) -> None:
    (place.payload / "file").write_text("x")
    place.pack()
    first = place.path.read_bytes()
    place.pack()
    assert place.path.read_bytes() == first


def test_owners_are_not_told_and_set_uid_is_dropped(place: Place) -> None:
    (place.payload / "program").touch()
    (place.payload / "program").chmod(0o6755)
    place.pack()
    member = place.members()["job/program"]
    assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
    assert member.mode == 0o755


def test_names_left_out_are_not_in(place: Place) -> None:
    (place.payload / "in").mkdir()
    for name in ("in/input", "in/output", "input"):
        (place.payload / name).touch()
    place.pack(leave_out={"in/input", "input"})
    assert list(place.members())[2:] == ["job/in", "job/in/output"]


def test_what_has_a_streams_name_is_packed_under_another(place: Place) -> None:
    (place.payload / "stdout").write_text("mine")
    (place.payload / "stdout.payload").write_text("and mine")
    (place.payload / "stderr").mkdir()
    (place.payload / "stderr" / "file").write_text("deep")
    notes = place.pack()
    assert place.text("job/stdout") == "stdout of the job"
    assert place.text("job/stdout.payload") == "mine"
    assert place.text("job/stdout.payload.payload") == "and mine"
    assert place.text("job/stderr.payload/file") == "deep"
    assert len(notes) == 3
    assert "'stdout': packed as 'stdout.payload'" in notes[1]


def test_sockets_pipes_and_missing_streams_are_skipped_and_told(place: Place) -> None:
    os.mkfifo(place.payload / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place.payload / "socket"))
        place.streams["stderr"].unlink()
        os.mkfifo(place.streams["stderr"])
        notes = place.pack()
    assert list(place.members()) == ["job/stdout"]
    assert [note.partition(":")[0] for note in notes] == ["'stderr'", "'pipe'", "'socket'"]


@pytest.mark.parametrize("target", ["file", "sub/../file", "sub", "./missing", "sub/missing"])
def test_symlinks_that_stay_inside_are_kept(place: Place, target: str) -> None:
    (place.payload / "sub").mkdir()
    (place.payload / "file").touch()
    (place.payload / "link").symlink_to(target)
    assert place.pack() == ()
    assert place.members()["job/link"].linkname == target


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../stdout", "../payload/file", "../../..", "top/../../x", "sub/../../job/file"]
)
def test_symlinks_that_lead_outside_are_skipped_and_told(place: Place, target: str) -> None:
    (place.payload / "sub").mkdir()
    (place.payload / "top").symlink_to(".")
    (place.payload / "link").symlink_to(target)
    notes = place.pack()
    assert "job/link" not in place.members()
    assert notes == ("'link': skipped: a symbolic link that leads outside",)


def test_a_symlink_cannot_climb_through_another_one(place: Place) -> None:
    (place.payload / "deep").mkdir()
    (place.payload / "top").symlink_to(".")
    (place.payload / "deep" / "link").symlink_to("../top/../stdout")  # by its text it stays inside
    (place.payload / "loop").symlink_to("loop")
    assert place.pack() == ("'deep/link': skipped: a symbolic link that leads outside",)


def test_hard_links_are_packed_as_files(place: Place) -> None:
    (place.payload / "a").write_text("same")
    os.link(place.payload / "a", place.payload / "b")
    place.pack()
    assert all(place.members()[name].isreg() for name in ("job/a", "job/b"))
    assert place.text("job/b") == "same"


def test_odd_names_survive(place: Place) -> None:
    names = [b"line\nfeed", b"caf\xc3\xa9", b"\xff\xfe", b"x" * 255]
    for name in names:
        Path(os.fsdecode(bytes(place.payload) + b"/" + name)).write_text("x")
    place.pack()
    assert {os.fsencode(name) for name in place.members()} >= {b"job/" + name for name in names}


@pytest.mark.parametrize(("change", "seen"), [(b"", 0), (b"short", 5), (b"x" * 5000, 1000)])
def test_a_file_that_changes_while_it_is_packed_does_not_break_the_archive(
    place: Place, monkeypatch: pytest.MonkeyPatch, change: bytes, seen: int
) -> None:
    (place.payload / "file").write_bytes(b"-" * 1000)
    (place.payload / "next").write_text("whole")

    def changed_before(file: object, size: int, read: Callable[..., bytes] = module._read) -> bytes:
        if Path(f"/proc/self/fd/{file.fileno()}").readlink().name == "file":  # type: ignore[attr-defined]
            (place.payload / "file").write_bytes(change)
        return read(file, size)

    monkeypatch.setattr(module, "_read", changed_before)
    notes = place.pack()
    assert place.text("job/file") == change[:1000].decode() + "\0" * (1000 - seen)
    assert place.text("job/next") == "whole"
    assert len(notes) == (seen < 1000)


def test_a_package_that_grows_over_its_limit_is_refused(place: Place) -> None:
    (place.payload / "noise").write_bytes(os.urandom(LIMIT))
    with pytest.raises(TransferRefused, match=f"larger than {LIMIT} bytes"):
        place.pack()
    assert sorted(path.name for path in place.path.parent.iterdir()) == ["payload", "stderr", "stdout"]


def test_holes_without_end_are_refused_before_they_are_read(place: Place) -> None:
    with (place.payload / "sparse").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(TransferRefused, match="times as large"):
        place.pack()


def test_too_many_files_are_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MEMBERS", 5)
    for number in range(4):
        (place.payload / str(number)).touch()
    with pytest.raises(TransferRefused, match="let it remove what nobody needs"):
        place.pack()


def test_directories_deeper_than_unpacking_allows_are_skipped_and_told(place: Place) -> None:
    deep = place.payload.joinpath(*["d"] * 40)
    deep.mkdir(parents=True)
    (deep / "file").touch()
    (note,) = place.pack()
    assert "deeper than" in note
    assert max(name.count("/") for name in place.members()) < module.MAX_DEPTH


def test_many_notes_are_cut_short(place: Place) -> None:
    for number in range(module.MAX_NOTES + 5):
        os.mkfifo(place.payload / f"pipe{number:03}")
    notes = place.pack()
    assert len(notes) == module.MAX_NOTES + 1
    assert notes[-1] == "and 5 more"


def test_packing_ends_soon_when_its_file_is_given_up(place: Place) -> None:
    with (place.payload / "large").open("wb") as file:
        file.truncate(LIMIT * 90)
    errors: list[TransferUnavailable] = []

    def work(new: NewFile) -> None:
        try:
            pack(new, "job", place.payload, streams=place.streams, limit=LIMIT)
        except TransferUnavailable as error:
            errors.append(error)

    with NewFile.at(place.path) as new:
        thread = threading.Thread(target=work, args=(new,))
        thread.start()
    thread.join(PATIENCE_S)
    assert len(errors) == 1
    assert "given up" in str(errors[0])
