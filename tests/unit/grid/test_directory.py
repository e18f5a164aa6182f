"""The directory of job files: each becomes one job, whoever dies, and nothing outside of it is ever read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from copilot.errors import ConfigError, NoSpace, StoreUnavailable, TransferUnavailable
from copilot.files.area import FileArea
from copilot.files.base import FileFacts
from copilot.files.staging import DiskStaging
from copilot.grid import directory as module
from copilot.grid.base import Context
from copilot.grid.directory import JobDirectory, make
from copilot.grid.intake import StagingIntake
from copilot.job import JobSpec
from copilot.store.memory import MemoryStore
from tests.unit.files.serving import make_file, names_below


class World:
    """A directory with a script, and a manager's intake."""

    def __init__(self, path: Path) -> None:
        for name in ("jobs", "area", "state"):
            (path / name).mkdir()
        self.path = path / "jobs"
        self.state = path / "state"
        self.area = FileArea(path / "area")
        self.store = MemoryStore()
        self.intake = StagingIntake(self.store, DiskStaging(self.area, ()))
        self.source = JobDirectory(self.path, self.state)
        make_file(self.path / "run.sh", b"#!/bin/sh\n")

    def drop(self, name: str, **said: Any) -> None:
        hidden = self.path / f".{name}"
        hidden.write_text(json.dumps({"command": "run.sh"} | said))
        hidden.rename(self.path / name)

    def files(self) -> set[str]:
        return names_below(self.path) - {"run.sh", ".lock"}

    def reason(self, name: str) -> str:
        return (self.path / "rejected" / f"{name}.error").read_text()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_job_file_becomes_a_job_and_moves(world: World) -> None:
    make_file(world.path / "in.dat", b"42")
    world.drop("job-1.json", inputs={"data/in": "in.dat"})
    world.drop("by-name.json", id="job-2")
    await world.source.look(world.intake)
    assert world.files() == {"in.dat", "taken/job-1.json", "taken/by-name.json"}
    assert world.area.input_path("job-1", "data/in").read_bytes() == b"42"
    assert await world.store.get("job-1") is not None
    assert await world.store.get("job-2") is not None
    assert names_below(world.state) == set(), "copies are removed"


@pytest.mark.parametrize("name", [".job.json", "job.json.part", "job", "job.JSON"])
async def test_what_is_not_renamed_in_yet_is_left_alone(world: World, name: str) -> None:
    (world.path / name).write_text('{"comm')
    await world.source.look(world.intake)
    assert world.files() == {name}


async def test_a_bad_job_file_is_put_aside_with_its_reason_and_hinders_no_other(world: World) -> None:
    (world.path / "half.json").write_text('{"comm')
    world.drop("a b.json")
    world.drop("missing.json", inputs={"in": "nowhere"})
    world.drop("number.json", priority=10**30)
    world.drop("long.json", max_run_time=10**400)
    world.drop("good.json")
    await world.source.look(world.intake)
    bad = ("half", "a b", "missing", "number", "long")
    assert world.files() == {"taken/good.json"} | {
        f"rejected/{name}.{end}" for name in bad for end in ("json", "error")
    }
    assert "not JSON" in world.reason("half")
    assert "job id 'a b'" in world.reason("a b")
    assert "reading nowhere" in world.reason("missing")
    assert await world.store.waiting() == 1


async def test_the_id_of_another_job_is_refused(world: World) -> None:
    await world.store.submit([JobSpec(id="j", command="other.sh")])
    world.drop("j.json")
    await world.source.look(world.intake)
    assert "there is a job j already" in world.reason("j")


@pytest.mark.parametrize("what", ["input", "job file", "directory of inputs"])
async def test_a_symlink_leads_to_nothing_that_we_can_read_and_others_cannot(
    world: World, tmp_path: Path, what: str
) -> None:
    (tmp_path / "private").mkdir()
    secret = make_file(tmp_path / "private" / "claim.json", b'{"command": "run.sh", "owner": "secret"}')
    if what == "job file":
        (world.path / "j.json").symlink_to(secret)
    elif what == "input":
        (world.path / "in").symlink_to(secret)
        world.drop("j.json", inputs={"in": "in"})
    else:
        (world.path / "d").symlink_to(secret.parent)
        world.drop("j.json", inputs={"in": "d/claim.json"})
    await world.source.look(world.intake)
    assert await world.store.get("j") is None
    assert "symbolic link" in world.reason("j") or "Not a directory" in world.reason("j")
    assert "secret" not in world.reason("j")


@pytest.mark.parametrize("below", ["taken", "rejected"])
async def test_nothing_is_moved_through_a_symlink(world: World, tmp_path: Path, below: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (world.path / below).symlink_to(tmp_path / "elsewhere")
    world.drop("j.json", **({} if below == "taken" else {"owner": 1}))
    with pytest.raises(Exception, match=r"symbolic link|Not a directory"):
        await world.source.look(world.intake)
    assert list((tmp_path / "elsewhere").iterdir()) == []


class Crash(BaseException):
    """The manager dies."""


@pytest.mark.parametrize("step", ["_prepare", "submit", "_move", "after"])
async def test_a_manager_that_dies_at_any_step_loses_nothing_and_doubles_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def dies(*_: Any) -> None:
        raise Crash

    world.drop("j.json")
    with monkeypatch.context() as patched:
        if step == "submit":
            patched.setattr(world.store, "submit", dies)
        elif step == "after":
            move = module._move
            patched.setattr(module, "_move", lambda *these: (move(*these), dies()))
        else:
            patched.setattr(module, step, dies)
        with pytest.raises(Crash):
            await world.source.look(world.intake)
    await JobDirectory(world.path, world.state).look(world.intake)
    assert world.files() == {"taken/j.json"}
    assert await world.store.waiting() == 1
    assert [event.kind for event in await world.store.events()] == ["submitted"]


class Failing(DiskStaging):
    """Cannot stage now."""

    error: Exception = TransferUnavailable("the file server is away")

    async def store(self, job: str, name: str, source: Path) -> FileFacts:
        raise self.error


@pytest.mark.parametrize("error", [TransferUnavailable("away"), NoSpace("full")])
async def test_what_passes_is_waited_for(
    world: World, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    staging = Failing(world.area, ())
    staging.error = error
    world.drop("j.json")
    await world.source.look(StagingIntake(world.store, staging))
    assert world.files() == {"j.json"}
    assert f"{error}; trying again" in caplog.text
    await world.source.look(world.intake)
    assert world.files() == {"taken/j.json"}


class Away:
    """An intake whose queue is away."""

    async def submit(self, spec: JobSpec, files: Mapping[str, Path]) -> JobSpec:
        raise StoreUnavailable("Redis is away")


async def test_when_the_queue_is_away_the_source_ends_and_the_file_stays(world: World) -> None:
    world.drop("j.json")
    with pytest.raises(StoreUnavailable):
        await world.source.run(Away())
    assert world.files() == {"j.json"}


async def test_two_managers_do_not_get_in_each_others_way(world: World) -> None:
    class Second:
        """While the first submits, another manager looks."""

        async def submit(self, spec: JobSpec, files: Mapping[str, Path]) -> JobSpec:
            await JobDirectory(world.path, world.state).look(Away())
            return await world.intake.submit(spec, files)

    world.drop("j.json")
    await world.source.look(Second())
    assert world.files() == {"taken/j.json"}


@pytest.mark.parametrize("settings", [{}, {"PATH": "relative"}, {"PATH": "/nowhere/at/all"}])
def test_a_source_without_its_directory_is_not_made(tmp_path: Path, settings: dict[str, str]) -> None:
    manager: Any = None
    context = Context(
        name="directory", settings=settings, state_dir=tmp_path, manager=manager, store=MemoryStore()
    )
    with pytest.raises(ConfigError, match="SOURCE_DIRECTORY_PATH: expected the absolute path"):
        make(context)
    assert make(
        Context(
            name="directory",
            settings={"PATH": os.fspath(tmp_path)},
            state_dir=tmp_path,
            manager=manager,
            store=MemoryStore(),
        )
    )
