"""What goes when an operator cleans up, and what stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from copilot.errors import TransferError
from copilot.files.area import FileArea, input_name, output_name
from copilot.files.leftovers import AttemptDirectory
from copilot.job import Cause, JobSpec, Outcome
from copilot.storagemanager import cleaning
from copilot.storagemanager.cleaning import Cleaner, Gone, Kind, needless
from copilot.store.base import Store
from copilot.store.memory import MemoryStore

NOW = time.time()
HOUR, DAY = 3600.0, 24 * 3600.0
KEEP = 30 * DAY
GOOD, BAD = Outcome(cause=Cause.OK, exit_code=0), Outcome(cause=Cause.USER_EXIT, exit_code=3)
LOST = Outcome(cause=Cause.INFRA_LOST, exit_code=1)


class Place:
    """A queue, a file area and a directory of outputs."""

    def __init__(self, root: Path) -> None:
        self.store: Store = MemoryStore()
        self.area = FileArea(root / "area")
        self.done = root / "done"
        self.area.root.mkdir()
        self.done.mkdir()

    async def job(self, name: str, *ends: Outcome, age: float = 40 * DAY, published: bool = True) -> None:
        """A job with inputs whose attempts ended so; what is the last one's directory is `age` old."""
        now = NOW - age
        await self.store.submit([JobSpec(id=name, command="c")], now=now)
        self.file(self.area.root / input_name(name, "c"), age)
        for number, end in enumerate(ends, 1):
            await self.store.claim(agent="a", request=f"{name}{number}", dispatch_limit=60, now=now)
            self.file(self.area.root / output_name(name, number), age)
            await self.store.finish(name, number, end, now=now)
        if published:
            await self.store.publish(name, now=now)

    def file(self, path: Path, age: float) -> None:
        """A file of 10 bytes in a directory of its own."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0123456789")
        for one in (path, path.parent):
            os.utime(one, (NOW - age, NOW - age))

    async def clean(self, *, dry: bool = False, outputs: bool = False) -> list[Gone]:
        cleaner = Cleaner(self.store, self.area, self.done if outputs else None, dry=dry)
        return [gone async for step in cleaner.clean(NOW, KEEP) for gone in step]

    @property
    def names(self) -> set[str]:
        return {path.name for path in self.area.root.iterdir()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def said(gone: list[Gone]) -> list[str]:
    return [f"{one.kind} {one.path.name if one.path else one.job} {one.size}" for one in gone]


async def test_an_old_job_goes_with_its_inputs_and_what_its_attempts_left(place: Place) -> None:
    await place.job("old", LOST, GOOD)
    await place.job("young", GOOD, age=29 * DAY)
    gone = await place.clean()
    assert said(gone) == [
        "attempt old 10",
        "attempt old.a2 10",
        "attempt young 10",
        "record old 0",
        "inputs old.a0 10",
    ]
    assert await place.store.get("old") is None
    assert await place.store.get("young") is not None
    assert place.names == {"young.a0"}
    assert await place.clean() == []


async def test_a_dry_run_says_the_same_and_changes_nothing(place: Place) -> None:
    for number in range(3):
        await place.job(f"good{number}", GOOD)
        await place.job(f"bad{number}", BAD)
    place.file(place.done / "good1" / "good1.tgz", 40 * DAY)
    names = place.names
    told = await place.clean(dry=True, outputs=True)
    assert place.names == names
    assert sum((await place.store.counts()).values()) == 6
    assert told == await place.clean(outputs=True)
    assert place.names == set()
    assert sum((await place.store.counts()).values()) == 0


async def test_every_job_is_found_however_many_stay_between_them(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "PAGE", 2)
    for number in range(9):
        await place.job(f"j{number}", GOOD, published=number % 3 == 0)
    dry = [one.job for one in await place.clean(dry=True) if one.kind is Kind.RECORD]
    wet = [one.job for one in await place.clean() if one.kind is Kind.RECORD]
    assert dry == wet == ["j0", "j3", "j6"]
    assert sum((await place.store.counts()).values()) == 6


async def test_outputs_go_only_when_they_are_meant_too(place: Place) -> None:
    for name in ("one", "two"):
        await place.job(name, GOOD)
        place.file(place.done / name / f"{name}.tgz", 40 * DAY)
        await place.clean(outputs=name == "two")
    assert [path.name for path in place.done.iterdir()] == ["one"]


async def test_nothing_of_a_job_that_is_not_over_and_published_is_touched(place: Place) -> None:
    await place.job("unpublished", GOOD, published=False)
    await place.job("waiting", LOST, published=False)
    await place.job("held", LOST, published=False)
    await place.job("running", published=False)
    await place.store.hold("held")
    await place.store.claim(agent="a", request="r", dispatch_limit=60, count=2)
    place.file(place.area.root / output_name("running", 1), 40 * DAY)
    await place.job("again", BAD)
    await place.store.retry("again")
    names, counts = place.names, await place.store.counts()
    gone = await place.clean()
    # `waiting` was claimed once more, so nobody waits for what its first attempt left
    assert said(gone) == ["attempt waiting 10"]
    assert place.names == names - {"waiting"}
    assert await place.store.counts() == counts


async def test_what_was_changed_within_a_day_stays(place: Place) -> None:
    await place.job("fresh", GOOD, age=23 * HOUR)
    place.file(place.area.root / "unknown.a2" / "x", 23 * HOUR)
    place.file(place.area.root / "stranger.a2" / "x", 25 * HOUR)
    await place.job("late", LOST, GOOD, age=25 * HOUR)
    place.file(place.area.root / output_name("late", 1), HOUR)  # an upload that came late
    assert said(await place.clean()) == ["attempt late.a2 10", "attempt stranger.a2 10"]


async def test_a_directory_that_an_old_tool_has_filled_is_left_to_it(place: Place) -> None:
    await place.store.submit([JobSpec(id="old", command="c", input_dir="/old")], now=NOW - 40 * DAY)
    await place.store.cancel("old", now=NOW - 40 * DAY)
    await place.store.publish("old")
    place.file(place.area.root / "old" / "c", 40 * DAY)
    assert said(await place.clean()) == ["record old 0"]
    assert place.names == {"old"}


async def test_a_job_that_is_retried_in_the_same_moment_keeps_its_inputs(place: Place) -> None:
    class Retried(MemoryStore):
        async def remove(self, job: str) -> bool:
            await self.retry(job)
            return await super().remove(job)

    place.store = Retried()
    await place.job("j", BAD)
    assert said(await place.clean()) == ["attempt j 10"]
    assert place.names == {"j.a0"}


async def test_a_directory_that_the_disk_does_not_let_go_stops_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.job("a", GOOD)
    await place.job("b", GOOD)

    def refuse(self: FileArea, job: str) -> None:
        if job == "a":
            raise TransferError("removing a: no")
        original(self, job)

    original = FileArea.drop_inputs
    monkeypatch.setattr(FileArea, "drop_inputs", refuse)
    gone = [one for one in await place.clean() if one.kind is Kind.INPUTS]
    assert [(one.job, one.error) for one in gone] == [("a", "removing a: no"), ("b", "")]


async def test_a_directory_that_may_be_anybodys_is_not_an_unknown_jobs() -> None:
    assert needless(AttemptDirectory(job="x", attempt=1, name="x.a1"), None, NOW) == "its job is not known"
    assert needless(AttemptDirectory(job="x", attempt=1, name="x"), None, NOW) == ""


async def test_the_directory_of_an_attempt_to_come_stays(place: Place) -> None:
    await place.job("j", GOOD)
    record = await place.store.get("j")
    attempts = [AttemptDirectory(job="j", attempt=number, name=f"j.a{number}") for number in (1, 2)]
    assert [needless(one, record, NOW) for one in attempts] == ["its job is over", ""]


async def test_the_inputs_of_an_array_go_with_its_last_element(tmp_path: Path) -> None:
    place = Place(tmp_path)
    old, inputs = NOW - 40 * DAY, place.area.root / input_name("sim", "c")
    await place.store.submit([JobSpec(id="sim", command="c", array=3)], now=old)
    place.file(inputs, 40 * DAY)
    for number in range(2):
        (one,) = await place.store.claim(agent="a", request=f"r{number}", dispatch_limit=60, now=old)
        await place.store.finish(one.spec.id, 1, GOOD, now=old)
        await place.store.publish(one.spec.id, now=old)
    gone = await place.clean()
    assert [one.job for one in gone] == ["sim.0", "sim.1"]
    assert inputs.exists()
    await place.store.cancel("sim.2", now=old)
    gone = await place.clean()
    assert [(one.kind, one.job) for one in gone] == [(Kind.RECORD, "sim.2"), (Kind.INPUTS, "sim")]
    assert not inputs.exists()
    assert await place.store.array("sim") is None
