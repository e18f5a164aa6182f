"""Where inputs of jobs from afar lie: what `SubmittedFiles` promises over a real file server, and beside a Chirp server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from copilot.files.http import HttpClient
from copilot.files.staging import ACCESS_LIST, DiskStaging
from copilot.files.submitted import SubmittedFiles
from copilot.job import InputFile, JobSpec
from copilot.jobmanager.submissions import staged_for
from tests.unit.files.serving import Served, facts_of, make_file, names_below, serving

LARGE = b"large" * 100_000


@dataclass(frozen=True)
class Side:
    files: SubmittedFiles
    served: Served
    client: HttpClient


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    async with serving(tmp_path) as served:
        client = HttpClient(ca_file=served.ca_file, backoff=lambda failures: 0)
        staging = DiskStaging(served.area, ["unix:*"])
        yield Side(SubmittedFiles(served.area, served.signer, staging, serves_results=True), served, client)
        await client.close()


def spec(owner: str, **contents: bytes) -> JobSpec:
    inputs = tuple(
        InputFile(name=name, size=len(data), sha256=facts_of(data).sha256) for name, data in contents.items()
    )
    return JobSpec(id="j", command="small", inputs=inputs, owner=owner, staged=staged_for(owner, "j", inputs))


async def put(side: Side, job: JobSpec, name: str, data: bytes, here: Path) -> None:
    (one,) = (one for one in job.inputs if one.name == name)
    url = side.files.upload_url(job.id, job.staged_name(name), one.size, one.sha256, 60)
    await side.client.put(make_file(here / "source", data), url, facts=facts_of(data))


async def test_what_was_uploaded_and_what_came_with_the_message_is_all_there(
    side: Side, tmp_path: Path
) -> None:
    job = spec("ada@x", small=b"small", large=LARGE)
    assert await side.files.missing(job) == {"small", "large"}
    await put(side, job, "large", LARGE, tmp_path)
    assert await side.files.missing(job) == {"small"}
    await side.files.keep(job, {"small": b"small"})
    await side.files.keep(job, {"small": b"small"})
    assert await side.files.missing(job) == frozenset()
    url = side.served.signer.input_url("j", job.staged_name("small"), 60)
    await side.client.get(url, tmp_path / "got")  # as its agent does
    assert (tmp_path / "got").read_bytes() == b"small"


async def test_of_two_with_one_id_each_has_its_own_files_and_one_can_go_without_the_other(
    side: Side, tmp_path: Path
) -> None:
    ada, bob = (spec(owner, small=data) for owner, data in (("ada@x", b"hers"), ("bob@x", b"his")))
    await put(side, ada, "small", b"hers", tmp_path)
    await put(side, bob, "small", b"his", tmp_path)
    assert [await side.files.missing(job) for job in (ada, bob)] == [frozenset(), frozenset()]
    for _ in range(2):
        await side.files.drop("j", bob.staged)
    assert names_below(side.served.area.root) == {f"j.a0/{ada.staged}/small"}
    side.served.area.drop_inputs("j")  # as `copilot clean` does
    assert names_below(side.served.area.root) == set()
    await side.files.drop("j", ada.staged)


async def test_a_file_of_another_size_or_a_link_is_none(side: Side, tmp_path: Path) -> None:
    job = spec("ada@x", small=b"small")
    place = side.served.area.input_path("j", job.staged_name("small"))
    place.parent.mkdir(parents=True)
    make_file(place, b"half")
    assert await side.files.missing(job) == {"small"}
    place.unlink()
    place.symlink_to(make_file(tmp_path / "elsewhere", b"small"))
    assert await side.files.missing(job) == {"small"}


async def test_agents_that_come_by_chirp_may_read_what_came_from_afar(side: Side, tmp_path: Path) -> None:
    make_file(side.served.area.root / ACCESS_LIST, b"unix:operator rwlda\n")
    job = replace(spec("ada@x", small=b"small"), command="small")
    await put(side, job, "small", b"small", tmp_path)
    await side.files.keep(job, {})
    lists = [side.served.area.root / place / ACCESS_LIST for place in ("j.a0", f"j.a0/{job.staged}")]
    assert [path.read_text() for path in lists] == ["unix:operator rwlda\nunix:* rl\n"] * 2


def test_the_place_says_nothing_of_its_owner() -> None:
    staged = spec("ada@x", small=b"").staged
    assert len(staged) == 32
    assert "ada" not in json.dumps(staged)
