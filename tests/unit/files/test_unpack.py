"""Unpacking: hostile archives cannot write outside, follow links, fill the disk or the memory."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copilot.errors import TransferCorrupt, TransferRefused
from copilot.files.archive import MAX_MEMBERS, pack
from copilot.files.newfile import NewFile
from copilot.files.unpack import Limits, extract

LIMITS = Limits(size=100_000, members=50)


@pytest.fixture
def there(tmp_path: Path) -> Path:
    path = tmp_path / "outer" / "there"
    path.mkdir(parents=True)
    return path


def member(
    name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", data: bytes = b"", mode: int = 0o644
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode = kind, link, len(data), mode
    return info, data


def written(path: Path, members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return path


def test_what_is_packed_comes_out_again(tmp_path: Path, there: Path) -> None:
    payload = tmp_path / "payload"
    (payload / "sub" / "empty").mkdir(parents=True)
    (payload / "sub" / "program").write_text("#!/bin/sh\n")
    (payload / "sub" / "program").chmod(0o755)
    (payload / "link").symlink_to("sub/program")
    (tmp_path / "stdout").write_text("out")
    with NewFile.at(tmp_path / "job.tgz") as new:
        pack(new, "job", payload, streams={"stdout": tmp_path / "stdout"}, limit=100_000)
        new.commit()
    extract(tmp_path / "job.tgz", there, LIMITS)
    assert (there / "job/stdout").read_text() == "out"
    assert (there / "job/link").read_text() == "#!/bin/sh\n"
    assert os.access(there / "job/sub/program", os.X_OK)
    assert not os.access(there / "job/stdout", os.X_OK)
    assert (there / "job/sub/empty").is_dir()


def test_of_an_archive_one_file_can_be_had_whatever_else_is_in_it(tmp_path: Path, there: Path) -> None:
    members = [
        member("job/link", tarfile.SYMTYPE, link="/etc"),
        member("job/large", data=b"x" * 90_000),
        member("job/pipe", tarfile.FIFOTYPE),
        member("./job/result", data=b"42"),
        member("job/more", data=b"x" * 5_000),
    ]
    extract(written(tmp_path / "a.tgz", members), there, LIMITS, only="job/result")
    assert {path.name for path in there.rglob("*")} == {"job", "result"}
    assert (there / "job/result").read_bytes() == b"42"
    bomb = written(tmp_path / "b.tgz", [member("job/large", data=bytes(2_000_000)), member("job/result")])
    with pytest.raises(TransferRefused):
        extract(bomb, there.parent, LIMITS, only="job/result")


def test_members_of_old_agents_begin_with_a_dot(tmp_path: Path, there: Path) -> None:
    members = [member("./", tarfile.DIRTYPE), member("./stdout", data=b"out")]
    extract(written(tmp_path / "a.tgz", members), there, LIMITS)
    assert (there / "stdout").read_text() == "out"


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "a/.."])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE])
def test_names_that_lead_outside_are_refused(tmp_path: Path, there: Path, name: str, kind: bytes) -> None:
    with pytest.raises(TransferRefused, match="does not stay inside"):
        extract(written(tmp_path / "a.tgz", [member(name, kind, link="x")]), there, LIMITS)
    assert list(there.parent.iterdir()) == [there]
    assert list(there.iterdir()) == []


def test_much_behind_the_end_of_an_archive_is_refused(tmp_path: Path, there: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(gzip.compress(bytes(200_000_000), 1))
    with pytest.raises(TransferRefused, match="behind the end"):
        extract(tmp_path / "a.tgz", there, Limits(size=10**9))
    (tmp_path / "b.tgz").write_bytes(gzip.compress(bytes(100_000)))
    extract(tmp_path / "b.tgz", there, LIMITS)
    assert list(there.iterdir()) == []


def test_a_header_that_tarfile_stumbles_over_is_no_archive(tmp_path: Path, there: Path) -> None:
    """Found by `make fuzz`: a sparse file whose list of parts goes on in a block that is cut off."""
    header = bytearray(member("sparse", tarfile.GNUTYPE_SPARSE)[0].tobuf(tarfile.GNU_FORMAT))
    header[482] = 1  # there are more parts
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "a.tgz").write_bytes(gzip.compress(bytes(header) + bytes(5)))
    with pytest.raises(TransferCorrupt, match="no complete tar archive"):
        extract(tmp_path / "a.tgz", there, LIMITS)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2Jx", "a/\x7f", "x\rstdout"])
def test_names_that_move_the_cursor_of_a_terminal_are_refused(tmp_path: Path, there: Path, name: str) -> None:
    with pytest.raises(TransferRefused, match="control characters"):
        extract(written(tmp_path / "a.tgz", [member(name, data=b"x")]), there, LIMITS)
    assert list(there.iterdir()) == []


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"?"])
def test_hard_links_devices_pipes_and_unknown_things_are_refused(
    tmp_path: Path, there: Path, kind: bytes
) -> None:
    with pytest.raises(TransferRefused, match="no file, directory or symbolic link"):
        extract(written(tmp_path / "a.tgz", [member("x", kind, link="/etc/passwd")]), there, LIMITS)
    assert list(there.iterdir()) == []


@pytest.mark.parametrize(
    "links",
    [
        {"link": "/etc/passwd"},
        {"link": "../.."},
        {"d/link": "../../x"},
        {"link": "later/../../x", "later": "."},
        {"a": "b/..", "b": "."},
        {"a": "b", "b": "c", "c": ".."},
    ],
)
def test_symlinks_that_lead_outside_are_refused_all_together(
    tmp_path: Path, there: Path, links: dict[str, str]
) -> None:
    members = [member(name, tarfile.SYMTYPE, link=target) for name, target in links.items()]
    with pytest.raises(TransferRefused, match="leads outside"):
        extract(written(tmp_path / "a.tgz", members), there, LIMITS)
    assert not any(path.is_symlink() for path in there.rglob("*"))


def test_nothing_is_written_through_a_symlink_of_the_archive(tmp_path: Path, there: Path) -> None:
    members = [
        member("d", tarfile.SYMTYPE, link="sub"),
        member("sub", tarfile.DIRTYPE),
        member("d/file", data=b"x"),
    ]
    with pytest.raises(TransferRefused):
        extract(written(tmp_path / "a.tgz", members), there, LIMITS)
    assert not (there / "sub" / "file").exists()


def test_nothing_is_written_through_a_symlink_or_over_a_file_that_was_there(
    tmp_path: Path, there: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (there / "d").symlink_to(outside)
    (there / "f").write_text("mine")
    for name in ("d/file", "d", "f"):
        with pytest.raises(TransferRefused):
            extract(written(tmp_path / "a.tgz", [member(name, data=b"theirs")]), there, LIMITS)
    assert list(outside.iterdir()) == []
    assert (there / "f").read_text() == "mine"


def test_no_symlink_stays_if_another_cannot_be_made(tmp_path: Path, there: Path) -> None:
    (there / "taken").touch()
    members = [member(name, tarfile.SYMTYPE, link="..") for name in ("a", "taken")]
    with pytest.raises(TransferRefused, match="there already"):
        extract(written(tmp_path / "a.tgz", members), there, LIMITS)
    assert [path.name for path in there.iterdir()] == ["taken"]


def test_too_many_members_and_too_many_bytes_are_refused(tmp_path: Path, there: Path) -> None:
    many = [member(f"{number}") for number in range(51)]
    with pytest.raises(TransferRefused, match="more than 50 members"):
        extract(written(tmp_path / "a.tgz", many), there, LIMITS)
    large = [member("a", data=bytes(60_000)), member("b", data=bytes(60_000))]
    (there / "0").rename(tmp_path / "0")
    with pytest.raises(TransferRefused, match="more than 100000 bytes"):
        extract(written(tmp_path / "b.tgz", large), there, LIMITS)
    assert not (there / "b").exists()


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path, there: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 10**9
    with gzip.open(tmp_path / "a.tgz", "wb") as file:
        file.write(header.tobuf(tarfile.USTAR_FORMAT))
    with pytest.raises(TransferRefused, match="headers that are too large"):
        extract(tmp_path / "a.tgz", there, LIMITS)


def test_contents_without_end_are_refused(tmp_path: Path, there: Path) -> None:
    long_name = tarfile.TarInfo("x")
    long_name.type, long_name.size = tarfile.GNUTYPE_LONGNAME, 900_000
    with gzip.open(tmp_path / "a.tgz", "wb") as file:
        for _ in range(3):
            file.write(long_name.tobuf(tarfile.GNU_FORMAT) + bytes(-(-900_000 // 512) * 512))
    with pytest.raises(TransferRefused, match="headers that are too large"):
        extract(tmp_path / "a.tgz", there, LIMITS)


@pytest.mark.parametrize("cut", [0, 5, 200, -20])
def test_what_is_no_complete_archive_is_corrupt(tmp_path: Path, there: Path, cut: int) -> None:
    whole = written(tmp_path / "a.tgz", [member("a", data=os.urandom(5000))]).read_bytes()
    (tmp_path / "b.tgz").write_bytes(whole[:cut] or b"no archive")
    with pytest.raises(TransferCorrupt, match="fetch it again"):
        extract(tmp_path / "b.tgz", there, LIMITS)


def test_a_million_members_are_refused_soon_without_filling_disk_or_memory(
    tmp_path: Path, there: Path
) -> None:
    info, _ = member("d", tarfile.DIRTYPE)
    thousand = gzip.compress(info.tobuf() * 1000)
    with (tmp_path / "a.tgz").open("wb") as file:
        file.writelines(thousand for _ in range(1000))  # gzip allows one after the other
    assert MAX_MEMBERS < 1_000_000
    with pytest.raises(TransferRefused, match="more than 10000 members"):
        extract(tmp_path / "a.tgz", there, Limits(size=100_000, members=10_000))
    assert [path.name for path in there.iterdir()] == ["d"]


# -- anything at all

NAMES = st.one_of(
    st.sampled_from(
        ["a", "a/b", "a/b/c", "b", "./a", "../a", "/a", "a/..", ".", "", "a//b", "x" * 300, "d/" * 40]
    ),
    st.text(max_size=20),
)
TARGETS = st.sampled_from(["a", "b", "..", "../..", "/etc/passwd", "a/..", "a/b", ".", "", "x" * 300, "loop"])
KINDS = st.sampled_from(
    [
        tarfile.REGTYPE,
        tarfile.DIRTYPE,
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.FIFOTYPE,
        b"S",
    ]
)
ANYTHING = settings(max_examples=100, deadline=None)


def attempt(archive: bytes) -> None:
    """Unpack it in a place of its own: nothing but errors of ours comes of it, and nothing gets out."""
    with tempfile.TemporaryDirectory() as outer:
        there = Path(outer) / "x" / "there"
        there.mkdir(parents=True)
        (Path(outer) / "a.tgz").write_bytes(archive)
        with suppress(TransferRefused, TransferCorrupt):
            extract(Path(outer) / "a.tgz", there, LIMITS)
        assert {path.name for path in Path(outer).iterdir()} == {"x", "a.tgz"}
        assert [path.name for path in (Path(outer) / "x").iterdir()] == ["there"]
        for path in there.rglob("*"):
            assert Path(os.path.realpath(path)).is_relative_to(there)  # Path.resolve raises on loops
            assert path.is_symlink() or path.is_dir() or path.is_file()
        assert (
            sum(path.lstat().st_size for path in there.rglob("*") if S_ISREG(path.lstat().st_mode))
            <= LIMITS.size
        )


@ANYTHING
@given(st.lists(st.tuples(NAMES, KINDS, TARGETS, st.binary(max_size=600)), max_size=6))
def test_no_list_of_members_gets_out(members: list[tuple[str, bytes, str, bytes]]) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", errors="surrogateescape") as archive:
        for name, kind, link, data in members:
            info, contents = member(name, kind, link=link, data=data if kind == tarfile.REGTYPE else b"")
            with suppress(ValueError, UnicodeError):  # what tarfile itself will not write
                archive.addfile(info, io.BytesIO(contents))
    attempt(packed.getvalue())


def honest() -> bytes:
    """An archive as ours are, with long names and a link, not yet zipped."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for info, data in (
            member("job/stdout", data=b"out" * 300),
            member("job/d", tarfile.DIRTYPE),
            member("job/" + "long/" * 25 + "name", data=b"x"),
            member("job/link", tarfile.SYMTYPE, link="stdout"),
            member("job/ü", data=b"y" * 513, mode=0o755),
        ):
            archive.addfile(info, io.BytesIO(data))
    return plain.getvalue()


HONEST = honest()
BYTES = st.one_of(
    st.sampled_from([b"\0", b"/", b"..", b"7777777", b"\x80\xff", b"x", b"2", b"L", b"g"]),
    st.binary(max_size=12),
)


@ANYTHING
@given(st.lists(st.tuples(st.integers(0, len(HONEST)), BYTES), min_size=1, max_size=5), st.booleans())
def test_no_change_to_an_honest_archive_gets_out(changes: list[tuple[int, bytes]], summed: bool) -> None:
    data = bytearray(HONEST)
    for at, new in changes:
        data[at : at + len(new)] = new
    if summed:  # so that the header is believed
        for at in range(0, len(data) - 511, 512):
            block = bytes(data[at : at + 148]) + b"        " + bytes(data[at + 156 : at + 512])
            if block[257:262] == b"ustar":
                data[at + 148 : at + 156] = b"%06o\0 " % sum(block)
    attempt(gzip.compress(bytes(data)))


@ANYTHING
@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=8)), min_size=1, max_size=4),
    st.integers(0, 10_000),
)
def test_no_change_to_the_zipped_bytes_gets_out(changes: list[tuple[int, bytes]], cut: int) -> None:
    data = bytearray(gzip.compress(HONEST))
    for at, new in changes:
        data[at % len(data) : at % len(data) + len(new)] = new
    attempt(bytes(data[: max(1, len(data) - cut % 50)]))
