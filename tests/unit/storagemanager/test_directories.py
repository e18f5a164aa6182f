"""What the storage manager asks of its directories, on a disk and with a real finisher."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from copilot.errors import BadName, TransferError, TransferRefused, TransferUnavailable
from copilot.files.area import FileArea
from copilot.files.base import FileFacts
from copilot.files.disk import disk_errors
from copilot.grid.done import DoneDirectory
from copilot.job import JobRecord, Output, State
from copilot.storagemanager.directories import Directories
from copilot.storagemanager.disk import DiskStorage
from copilot.storagemanager.logic import Place
from tests.unit.files.serving import names_below
from tests.unit.storagemanager.records import settled

DATA = b"the packed output"
OUTPUT = Output(size=len(DATA), sha256=hashlib.sha256(DATA).hexdigest())


class Urls:
    """Implements the port, in a readable way."""

    def output_url(self, job: str, attempt: int, expires_in: float, max_size: int) -> str:
        return f"https://files/{job}/{attempt}?{expires_in:.0f}s,{max_size}B"


class World:
    """An area, the directory of finished jobs, and what the storage manager sees of them."""

    def __init__(self, root: Path, area: type[FileArea] = FileArea) -> None:
        for name in ("area", "done"):
            (root / name).mkdir()
        self.area, self.done = area(root / "area"), root / "done"
        self.directories = self.made(urls=Urls())

    def made(self, *, urls: Urls | None = None, chirp: str = "") -> Directories:
        return Directories(
            DiskStorage(self.area),
            DoneDirectory(self.done),
            urls=urls,
            chirp=chirp,
            lifetime=60.0,
            max_size=1000,
        )

    def upload(self, data: bytes = DATA, *, attempt: int = 1) -> None:
        """As the file server does it."""
        with self.area.new_output("j", attempt) as new:
            new.write(data)
            new.commit()

    async def uploaded(self) -> None:
        await self.directories.prepare("j", 1)
        self.upload()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_an_output_goes_its_way_from_the_url_to_its_final_place(world: World) -> None:
    assert await world.directories.prepare("j", 1) == Place(url="https://files/j/1?60s,1000B")
    assert await world.directories.seal("j", 1) is None
    world.upload()
    assert await world.directories.seal("j", 1) == OUTPUT
    await world.directories.publish(settled(OUTPUT))
    assert (world.done / "j" / "j.tgz").read_bytes() == DATA
    assert names_below(world.done) == {"j/j.tgz"}
    assert names_below(world.area.root) == set()
    assert not (world.area.root / "j").exists()
    assert await world.directories.seal("j", 1) is None


async def test_every_step_may_be_taken_twice(world: World) -> None:
    await world.uploaded()
    await world.directories.prepare("j", 1)  # does not touch what lies there
    assert await world.directories.seal("j", 1) == await world.directories.seal("j", 1) == OUTPUT
    for _ in range(2):
        await world.directories.publish(settled(OUTPUT))
        assert (world.done / "j" / "j.tgz").read_bytes() == DATA
    for _ in range(2):
        await world.directories.discard("j", 1)
    assert names_below(world.done) == {"j/j.tgz"}


async def test_what_comes_after_the_check_is_not_what_is_published(world: World) -> None:
    await world.uploaded()
    assert await world.directories.seal("j", 1) == OUTPUT
    await world.directories.prepare("j", 1)
    world.upload(b"late")
    await world.directories.publish(settled(OUTPUT))
    assert (world.done / "j" / "j.tgz").read_bytes() == DATA


async def test_a_publication_that_a_crash_broke_off_is_finished(world: World) -> None:
    await world.uploaded()
    await world.directories.seal("j", 1)
    await DoneDirectory(world.done).finish(settled(OUTPUT), world.area.sealed_path("j", 1))
    assert (world.area.root / "j").is_dir()  # the crash came before the attempt was dropped
    await world.directories.publish(settled(OUTPUT))
    assert not (world.area.root / "j").exists()
    assert (world.done / "j" / "j.tgz").read_bytes() == DATA


async def test_attempts_do_not_meet(world: World) -> None:
    for attempt in (1, 2):
        await world.directories.prepare("j", attempt)
    world.upload(b"of the first", attempt=1)
    world.upload(attempt=2)
    await world.directories.discard("j", 1)
    assert await world.directories.seal("j", 1) is None
    assert await world.directories.seal("j", 2) == OUTPUT
    await world.directories.publish(settled(OUTPUT, attempt=2))
    assert (world.done / "j" / "j.tgz").read_bytes() == DATA


async def test_a_job_without_output_leaves_nothing_and_publishes_nothing(world: World) -> None:
    await world.uploaded()
    await world.directories.publish(settled(None))
    assert names_below(world.area.root) == names_below(world.done) == set()
    await world.directories.publish(settled(None, attempt=0, state=State.FAILED))  # it never had an attempt


async def test_what_is_missing_cannot_be_published(world: World) -> None:
    await world.directories.prepare("j", 1)
    with pytest.raises(TransferRefused, match="moving the output of job j"):
        await world.directories.publish(settled(OUTPUT))
    assert names_below(world.done) == set()


async def test_a_directory_of_finished_jobs_that_is_away_loses_nothing(world: World) -> None:
    await world.uploaded()
    await world.directories.seal("j", 1)
    world.done.rmdir()
    with pytest.raises(TransferError):
        await world.directories.publish(settled(OUTPUT))
    assert await world.directories.seal("j", 1) == OUTPUT


async def test_what_nobody_uploaded_is_nothing_and_can_be_discarded(world: World) -> None:
    assert await world.directories.seal("j", 1) is None
    await world.directories.discard("j", 1)


async def test_a_link_in_place_of_the_output_is_no_output(world: World, tmp_path: Path) -> None:
    await world.directories.prepare("j", 1)
    (tmp_path / "secret").write_text("secret")
    world.area.output_path("j", 1).symlink_to(tmp_path / "secret")
    assert await world.directories.seal("j", 1) is None


class TroubledArea(FileArea):
    """Its disk cannot be read for this reason."""

    number = errno.EIO

    def seal(self, job: str, attempt: int, *, copy: bool) -> FileFacts | None:
        with disk_errors("reading"):
            raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EIO, TransferUnavailable),
        (errno.ESTALE, TransferUnavailable),
        (errno.EMFILE, TransferUnavailable),
        (errno.EACCES, TransferRefused),
    ],
)
async def test_an_output_that_cannot_be_looked_at_is_not_taken_for_missing(
    tmp_path: Path, number: int, expected: type[TransferError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TroubledArea, "number", number)
    with pytest.raises(expected):
        await World(tmp_path, TroubledArea).directories.seal("j", 1)


async def test_an_area_that_is_away_is_not_taken_for_an_empty_one(world: World) -> None:
    await world.uploaded()
    world.area.root.rename(world.area.root.with_name("unmounted"))
    with pytest.raises(TransferRefused):
        await world.directories.seal("j", 1)


async def test_agents_are_told_of_both_servers_where_there_are_both(world: World) -> None:
    chirp = "files.example.org:9094"
    assert await world.made(chirp=chirp).prepare("j", 1) == Place(chirp=chirp)
    both = await world.made(urls=Urls(), chirp=chirp).prepare("j", 2)
    assert both == Place(url="https://files/j/2?60s,1000B", chirp=chirp)
    assert (world.area.root / "j.a2").is_dir()


@pytest.mark.parametrize("job", ["../j", "j.a1", ""])
async def test_a_bad_id_becomes_no_path(world: World, job: str) -> None:
    for step in (world.directories.prepare, world.directories.seal, world.directories.discard):
        with pytest.raises(BadName):
            await step(job, 1)
    assert list(world.done.iterdir()) == list(world.area.root.iterdir()) == []


async def test_what_came_with_the_report_goes_to_its_place_without_a_detour(world: World) -> None:
    for _ in range(2):
        await world.directories.publish(settled(OUTPUT), DATA)
    assert (world.done / "j" / "j.tgz").read_bytes() == DATA
    assert names_below(world.area.root) == set()


class FilesOnly:
    """A finisher that takes nothing but files."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    async def finish(self, record: JobRecord, package: Path | None) -> None:
        assert package is not None
        self.taken.append(package.read_bytes())


async def test_a_finisher_that_takes_files_gets_one_of_what_came_with_the_report(world: World) -> None:
    finisher = FilesOnly()
    directories = Directories(DiskStorage(world.area), finisher, lifetime=60.0, max_size=1000)
    await directories.publish(settled(OUTPUT), DATA)
    assert finisher.taken == [DATA]
    assert names_below(world.area.root) == set()
