"""Submitting: files first, then the queue, and nothing left behind when it fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from copilot.client.submission import Submission, numbered, submit, submit_all
from copilot.errors import BadName, BadRequirements, CopilotError, JobExists, StoreUnavailable
from copilot.files.area import FileArea, input_name
from copilot.files.staging import DiskStaging
from copilot.job import MAX_TEXT_BYTES, InputFile, JobSpec, State
from copilot.store.memory import MemoryStore
from tests.unit.files.serving import facts_of, make_file, names_below


@pytest.fixture
def area(tmp_path: Path) -> FileArea:
    (tmp_path / "area").mkdir()
    return FileArea(tmp_path / "area")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The submitter's own files."""
    (tmp_path / "here").mkdir()
    make_file(tmp_path / "here" / "run.sh", b"#!/bin/sh\n")
    make_file(tmp_path / "here" / "check.sh", b"exit 0\n")
    make_file(tmp_path / "here" / "table", b"42\n")
    return tmp_path / "here"


def inputs_of_j(*names: str) -> set[str]:
    """Where these inputs lie in the area."""
    return {input_name("j", name) for name in names}


def described(here: Path, **fields: Any) -> Submission:
    return Submission(**{"id": "j", "command": here / "run.sh", **fields})


class WatchedStore(MemoryStore):
    """Notes which files lay in the area when the job went on the queue; may refuse."""

    def __init__(self, area: FileArea, error: CopilotError | None = None, *, lost: bool = False) -> None:
        super().__init__()
        self.area, self.error, self.lost = area, error, lost
        self.seen: set[str] = set()

    async def submit(self, specs: Sequence[JobSpec], *, now: float | None = None) -> None:
        self.seen = names_below(self.area.root)
        if self.error is None or self.lost:
            await super().submit(specs, now=now)
        if self.error is not None:
            raise self.error


def nothing_is_left(area: FileArea) -> bool:
    return not list(area.root.iterdir())


async def test_the_files_lie_in_the_area_before_the_job_is_on_the_queue(area: FileArea, here: Path) -> None:
    store = WatchedStore(area)
    spec = await submit(
        described(here, inputs={"data/t": here / "table"}, validation=here / "check.sh"),
        store,
        DiskStaging(area, ()),
    )
    assert store.seen == inputs_of_j("run.sh", "data/t", "check.sh")
    record = await store.get("j")
    assert record is not None
    assert (record.spec, record.state) == (spec, State.WAITING)
    facts = facts_of(b"42\n")
    assert InputFile(name="data/t", size=facts.size, sha256=facts.sha256) in spec.inputs
    assert area.input_path("j", "data/t").read_bytes() == b"42\n"


async def test_everything_that_the_owner_said_is_in_the_description(area: FileArea, here: Path) -> None:
    submission = described(
        here,
        arguments="-x 'a b'",
        environment={"A": "1"},
        packages=["root"],
        validation=here / "check.sh",
        priority=5,
        max_attempts=7,
        max_user_attempts=3,
        max_run_time=60.0,
        owner="alice",
        chirp_server="chirp:9094",
        exclusive=True,
        requirements="Cores>=4",
        rank="Memory*2",
    )
    spec = await submit(submission, MemoryStore(), DiskStaging(area, ()))
    assert replace(spec, inputs=()) == JobSpec(
        id="j",
        command="run.sh",
        arguments="-x 'a b'",
        environment="export A=1",
        packages=("root",),
        validation="check.sh",
        priority=5,
        max_attempts=7,
        max_user_attempts=3,
        max_run_time=60.0,
        owner="alice",
        chirp_server="chirp:9094",
        exclusive=True,
        requirements="other.Cores >= 4",
        rank="other.Memory * 2",
    )


async def test_many_jobs_alike_have_ids_numbers_and_files_of_their_own(area: FileArea, here: Path) -> None:
    store = MemoryStore()
    many = numbered(described(here, environment={"A": "1"}), 100)
    specs = await submit_all(many, store, DiskStaging(area, ()))
    assert [spec.id for spec in specs] == [f"j-{number}" for number in range(1, 101)]
    assert specs[6].environment.splitlines() == ["export A=1", "export COPILOT_NUMBER=7"]
    assert names_below(area.root) == {input_name(spec.id, "run.sh") for spec in specs}
    assert await store.waiting() == 100
    assert await submit_all(many, store, DiskStaging(area, ())) == specs
    assert await store.waiting() == 100


async def test_of_many_jobs_one_that_fails_leaves_no_files(area: FileArea, here: Path) -> None:
    store = MemoryStore()
    await submit(described(here, id="j-5", priority=1), store, DiskStaging(area, ()))
    with pytest.raises(JobExists, match="job j-5"):
        await submit_all(numbered(described(here), 9), store, DiskStaging(area, ()))
    on_queue = [number for number in range(1, 10) if await store.get(f"j-{number}") is not None]
    assert names_below(area.root) == {input_name(f"j-{number}", "run.sh") for number in on_queue}


async def test_a_job_that_does_not_get_on_the_queue_leaves_no_files(area: FileArea, here: Path) -> None:
    store = WatchedStore(area, StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable, match="away"):
        await submit(described(here), store, DiskStaging(area, ()))
    assert store.seen == inputs_of_j("run.sh")
    assert nothing_is_left(area)


async def test_a_job_that_is_on_the_queue_though_the_answer_was_lost_keeps_its_files(
    area: FileArea, here: Path
) -> None:
    with pytest.raises(StoreUnavailable):
        await submit(
            described(here), WatchedStore(area, StoreUnavailable("cut"), lost=True), DiskStaging(area, ())
        )
    assert names_below(area.root) == inputs_of_j("run.sh")


async def test_the_same_job_once_more_is_the_one_that_is_there(area: FileArea, here: Path) -> None:
    store = WatchedStore(area, StoreUnavailable("cut"), lost=True)
    with pytest.raises(StoreUnavailable):
        await submit(described(here), store, DiskStaging(area, ()))
    record = await store.get("j")
    assert record is not None
    assert await submit(described(here), store, DiskStaging(area, ())) == record.spec
    assert await store.get("j") == record


async def test_an_id_that_is_taken_is_refused_before_a_file_is_touched(area: FileArea, here: Path) -> None:
    store = MemoryStore()
    await submit(described(here), store, DiskStaging(area, ()))
    make_file(here / "run.sh", b"something else")
    with pytest.raises(JobExists, match="choose another id"):
        await submit(described(here, inputs={"t": here / "table"}), store, DiskStaging(area, ()))
    assert names_below(area.root) == inputs_of_j("run.sh")
    assert area.input_path("j", "run.sh").read_bytes() == b"#!/bin/sh\n"


@pytest.mark.parametrize("job", ["", "../j", "a/b", "j.a1", "j\n"])
async def test_a_bad_id_is_refused(area: FileArea, here: Path, job: str) -> None:
    with pytest.raises(BadName):
        await submit(described(here, id=job), MemoryStore(), DiskStaging(area, ()))
    assert nothing_is_left(area)


@pytest.mark.parametrize("name", ["../t", "/etc/t", "a//t", "", "t\n", "\udcff"])
async def test_a_bad_name_is_refused(area: FileArea, here: Path, name: str) -> None:
    with pytest.raises(BadName):
        await submit(described(here, inputs={name: here / "table"}), MemoryStore(), DiskStaging(area, ()))
    assert nothing_is_left(area)


async def test_two_files_of_one_name_are_refused_by_the_names_of_both(area: FileArea, here: Path) -> None:
    with pytest.raises(BadName) as told:
        await submit(described(here, inputs={"run.sh": here / "table"}), MemoryStore(), DiskStaging(area, ()))
    assert str(here / "table") in str(told.value)
    assert str(here / "run.sh") in str(told.value)
    assert nothing_is_left(area)


async def test_one_file_named_twice_is_one_file(area: FileArea, here: Path) -> None:
    spec = await submit(
        described(here, inputs={"run.sh": here / "run.sh"}, validation=here / "run.sh"),
        MemoryStore(),
        DiskStaging(area, ()),
    )
    assert [item.name for item in spec.inputs] == ["run.sh"]


@pytest.mark.parametrize("missing", ["nothing", "."])
async def test_a_file_that_is_not_there_is_named(area: FileArea, here: Path, missing: str) -> None:
    with pytest.raises(BadName, match="expected a file that exists"):
        await submit(described(here, inputs={"t": here / missing}), MemoryStore(), DiskStaging(area, ()))
    assert nothing_is_left(area)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"arguments": "x" * (MAX_TEXT_BYTES + 1)}, BadName),
        ({"environment": {"A": "\udcff"}}, BadName),
        ({"priority": 31}, BadName),
        ({"requirements": "Cores >"}, BadRequirements),
        ({"rank": "Cores *"}, BadRequirements),
        ({"packages": ["\udcff"]}, BadName),
    ],
)
async def test_what_the_description_may_not_hold_leaves_no_files(
    area: FileArea, here: Path, fields: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await submit(described(here, **fields), MemoryStore(), DiskStaging(area, ()))
    assert nothing_is_left(area)


async def test_a_name_that_is_a_file_and_a_directory_leaves_no_files(area: FileArea, here: Path) -> None:
    inputs = {"a": here / "table", "a/b": here / "table"}
    with pytest.raises(BadName, match="is a file and the directory of"):
        await submit(described(here, inputs=inputs), MemoryStore(), DiskStaging(area, ()))
    assert nothing_is_left(area)
