"""The intake: files first, then the queue; the same job again is success, another one under its id is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from copilot.errors import BadName, ConfigError, JobExists, StoreUnavailable, TransferRefused
from copilot.files.area import FileArea, input_name
from copilot.files.base import FileFacts
from copilot.files.staging import DiskStaging
from copilot.grid.intake import StagingIntake
from copilot.job import InputFile, JobSpec
from copilot.store.memory import MemoryStore
from tests.patience import PATIENCE_S
from tests.unit.files.serving import facts_of, make_file, names_below

SPEC = JobSpec(id="j", command="run.sh")


def inputs_of_j(*names: str) -> set[str]:
    """Where these inputs lie in the area."""
    return {input_name("j", name) for name in names}


class Crash(BaseException):
    """The manager dies."""


class World:
    """A queue, a file area and some files."""

    def __init__(self, path: Path) -> None:
        (path / "area").mkdir()
        self.area = FileArea(path / "area")
        self.store = MemoryStore()
        self.files = {"run.sh": make_file(path / "run.sh", b"#!"), "d/in": make_file(path / "in", b"42")}

    def intake(self, **parts: Any) -> StagingIntake:
        return StagingIntake(**{"store": self.store, "staging": DiskStaging(self.area, ())} | parts)

    def staged(self) -> set[str]:
        return names_below(self.area.root)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_what_is_on_the_queue_has_its_files_in_place(world: World) -> None:
    spec = await world.intake().submit(SPEC, world.files)
    facts = facts_of(b"42")
    assert InputFile(name="d/in", size=facts.size, sha256=facts.sha256) in spec.inputs
    assert world.staged() == inputs_of_j("run.sh", "d/in")
    record = await world.store.get("j")
    assert record is not None
    assert record.spec == spec


async def test_inputs_that_lie_elsewhere_stay_as_they_are_and_need_no_staging(world: World) -> None:
    elsewhere = replace(
        SPEC, chirp_server="c:9094", input_dir="/d", inputs=(InputFile(name="run.sh", size=0, sha256=""),)
    )
    assert await world.intake(staging=None).submit(elsewhere, {}) == elsewhere
    with pytest.raises(ConfigError, match="no place for its files"):
        await world.intake(staging=None).submit(replace(SPEC, id="k"), world.files)


class Dying(MemoryStore):
    """Dies once while a job is put on the queue, before or after it is there."""

    def __init__(self, *, after: bool) -> None:
        super().__init__()
        self.after, self.died = after, False

    async def submit(self, specs: Sequence[JobSpec], *, now: float | None = None) -> None:
        if not self.died and not self.after:
            self.died = True
            raise Crash
        await super().submit(specs, now=now)
        if not self.died:
            self.died = True
            raise Crash


class Forgetful(DiskStaging):
    """A crash leaves files behind: nobody drops them."""

    async def drop(self, job: str) -> None:
        raise Crash


@pytest.mark.parametrize("after", [False, True])
async def test_a_job_that_is_submitted_again_after_a_crash_is_there_once(world: World, after: bool) -> None:
    store = Dying(after=after)
    with pytest.raises(Crash):
        await world.intake(store=store, staging=Forgetful(world.area, ())).submit(SPEC, world.files)
    intake = world.intake(store=store)
    assert await intake.submit(SPEC, world.files) == await intake.submit(SPEC, world.files)
    assert await store.waiting() == 1
    assert world.staged() == inputs_of_j("run.sh", "d/in")


@pytest.mark.parametrize("what", ["description", "file", "fewer files"])
async def test_a_different_job_under_the_same_id_is_refused_and_touches_nothing(
    world: World, what: str
) -> None:
    await world.intake().submit(SPEC, world.files)
    spec, files = SPEC, dict(world.files)
    if what == "description":
        spec = replace(SPEC, arguments="-x")
    elif what == "file":
        files["d/in"].write_bytes(b"43")
    else:
        del files["d/in"]
    with pytest.raises(JobExists, match="choose another id"):
        await world.intake().submit(spec, files)
    assert world.area.input_path("j", "d/in").read_bytes() == b"42"


@pytest.mark.parametrize(
    ("spec", "files", "reason"),
    [
        (SPEC, {}, "the command 'run.sh' is none of its files"),
        (replace(SPEC, validation="check.sh"), {"run.sh": "run.sh"}, "the validation script 'check.sh'"),
        (SPEC, {"run.sh": "missing"}, "expected a file that exists"),
        (SPEC, {"run.sh": "run.sh", "../x": "in"}, "file name"),
        (SPEC, {"run.sh": "run.sh", "run.sh/x": "in"}, "is a file and the directory of"),
        (SPEC, {"run.sh": "run.sh"} | {f"f{number}": "in" for number in range(40)}, "at most 32 files"),
        (replace(SPEC, id="j.a2"), {"run.sh": "run.sh"}, "kept for second attempts"),
    ],
)
async def test_what_may_not_be_is_refused_before_a_file_is_touched(
    world: World, tmp_path: Path, spec: JobSpec, files: dict[str, str], reason: str
) -> None:
    with pytest.raises(BadName, match=reason):
        await world.intake().submit(spec, {name: tmp_path / path for name, path in files.items()})
    assert world.staged() == set()
    assert await world.store.waiting() == 0


class Away(MemoryStore):
    """Takes nothing, or takes it and does not say so."""

    def __init__(self, *, lost: bool) -> None:
        super().__init__()
        self.lost = lost

    async def submit(self, specs: Sequence[JobSpec], *, now: float | None = None) -> None:
        if self.lost:
            await super().submit(specs, now=now)
        raise StoreUnavailable("away")


@pytest.mark.parametrize("lost", [False, True])
async def test_files_stay_only_if_the_job_is_on_the_queue(world: World, lost: bool) -> None:
    with pytest.raises(StoreUnavailable):
        await world.intake(store=Away(lost=lost)).submit(SPEC, world.files)
    assert bool(world.staged()) == lost


class Slow(DiskStaging):
    """Stages when it may, and then fails or not."""

    def __init__(self, area: FileArea) -> None:
        super().__init__(area, ())
        self.begun = asyncio.Event()

    async def store(self, job: str, name: str, source: Path) -> FileFacts:
        facts = await super().store(job, name, source)
        self.begun.set()
        await asyncio.Event().wait()
        return facts


async def test_who_gives_up_in_the_middle_leaves_no_files(world: World) -> None:
    slow = Slow(world.area)
    submitting = asyncio.create_task(world.intake(staging=slow).submit(SPEC, world.files))
    await asyncio.wait_for(slow.begun.wait(), PATIENCE_S)
    submitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submitting
    assert list(world.area.root.iterdir()) == []


async def test_a_file_that_cannot_be_staged_leaves_none(world: World) -> None:
    world.area.input_path("j", "d").parent.mkdir()
    world.area.input_path("j", "d").write_bytes(b"in the way")
    with pytest.raises(TransferRefused):
        await world.intake().submit(SPEC, world.files)
    assert list(world.area.root.iterdir()) == []
