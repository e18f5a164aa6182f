"""The generic finisher: an output reaches its place once, in one step, also over file systems."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from copilot.errors import BadName, TransferRefused
from copilot.files.newfile import NewFile
from copilot.grid.done import DoneDirectory
from copilot.job import JobRecord, JobSpec, State
from tests.unit.files.serving import make_file, names_below


def settled(job: str = "j") -> JobRecord:
    spec = JobSpec(id=job, command="run.sh")
    return JobRecord(
        spec=spec, state=State.DONE, attempt=1, attempts_used=1, agent="a@b", submitted=0.0, first_event="0-1"
    )


@pytest.fixture
def done(tmp_path: Path) -> Path:
    (tmp_path / "done").mkdir()
    return tmp_path / "done"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "area" / "j.a1").mkdir(parents=True)
    return make_file(tmp_path / "area" / "j.a1" / "j.tgz", b"data")


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
async def test_an_output_is_taken_once_and_taking_it_again_is_fine(done: Path, package: Path) -> None:
    for _ in range(2):
        await DoneDirectory(done).finish(settled(), package)
        assert (done / "j" / "j.tgz").read_bytes() == b"data"
    assert names_below(done) == {"j/j.tgz"}
    assert not package.exists()


@pytest.mark.usefixtures("file_systems")
async def test_an_output_that_was_never_there_is_refused(done: Path, package: Path) -> None:
    package.unlink()
    with pytest.raises(TransferRefused, match="moving the output of job j"):
        await DoneDirectory(done).finish(settled(), package)
    assert names_below(done) == set()


async def test_a_job_without_an_output_leaves_nothing(done: Path) -> None:
    await DoneDirectory(done).finish(settled(), None)
    assert list(done.iterdir()) == []


@pytest.mark.parametrize("kind", ["symlink", "pipe", "directory"])
async def test_what_lies_there_instead_of_a_file_is_not_taken(
    done: Path, package: Path, tmp_path: Path, kind: str
) -> None:
    package.unlink()
    secret = make_file(tmp_path / "secret", b"secret")
    {
        "symlink": lambda: package.symlink_to(secret),
        "pipe": lambda: os.mkfifo(package),
        "directory": package.mkdir,
    }[kind]()
    with pytest.raises(TransferRefused):
        await DoneDirectory(done).finish(settled(), package)
    assert names_below(done) == set()


@pytest.mark.parametrize("where", ["its directory", "the final directory"])
async def test_a_symlink_on_the_way_is_not_followed(
    done: Path, package: Path, tmp_path: Path, where: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if where == "its directory":
        shutil.move(package, elsewhere / "j.tgz")
        package.parent.rmdir()
        package.parent.symlink_to(elsewhere)
    else:
        (done / "j").symlink_to(elsewhere)
    before = names_below(elsewhere)
    with pytest.raises(TransferRefused):
        await DoneDirectory(done).finish(settled(), package)
    assert names_below(elsewhere) == before


async def test_a_crash_in_the_middle_of_a_copy_leaves_nothing_after_the_next_try(
    done: Path, package: Path
) -> None:
    (done / "j").mkdir()
    torn = NewFile.at(done / "j" / "j.tgz")  # never left: its process died
    torn.write(b"da")
    await DoneDirectory(done).finish(settled(), package)
    assert names_below(done) == {"j/j.tgz"}
    assert (done / "j" / "j.tgz").read_bytes() == b"data"
    torn.__exit__(None, None, None)


async def test_a_crash_between_copying_and_removing_is_made_good(done: Path, package: Path) -> None:
    (done / "j").mkdir()
    make_file(done / "j" / "j.tgz", b"data")
    await DoneDirectory(done).finish(settled(), package)
    assert names_below(done) == {"j/j.tgz"}
    assert not package.exists()


async def test_over_real_file_systems_an_output_is_copied(package: Path, tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm")
    if not os.access(elsewhere, os.W_OK) or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to write to")
    done = elsewhere / f"copilot-test-{os.getpid()}"
    done.mkdir()
    try:
        await DoneDirectory(done).finish(settled(), package)
        assert names_below(done) == {"j/j.tgz"}
        assert not package.exists()
    finally:
        shutil.rmtree(done)


async def test_a_missing_directory_of_results_is_not_made_anew(package: Path, tmp_path: Path) -> None:
    with pytest.raises(TransferRefused):
        await DoneDirectory(tmp_path / "nowhere").finish(settled(), package)
    assert package.read_bytes() == b"data"


async def test_the_alias_of_an_attempt_never_becomes_a_directory_of_results(
    done: Path, package: Path
) -> None:
    with pytest.raises(BadName):
        await DoneDirectory(done).finish(settled("j.a2"), package)
