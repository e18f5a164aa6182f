"""Unpacking: hostile archives cannot write outside, follow links, fill the disk or the memory."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from copilot.errors import TransferCorrupt, TransferRefused
from copilot.files.archive import pack
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
