"""What a job takes of a host, and what a host has left."""

from __future__ import annotations

import pytest

from copilot.errors import BadName
from copilot.job import JobSpec
from copilot.matching.resources import KEY_DIGITS, Free, Request

GIB = 2**30


def test_a_request_is_read_from_the_job_in_whole_mebibytes_and_seconds() -> None:
    job = JobSpec(id="a", command="run", cores=12, gpus=2, memory=GIB + 1, disk=GIB, max_run_time=0.5)
    assert Request.of(job) == Request(cores=12, gpus=2, memory=1025, disk=1024, time=1)
    assert Request.of(JobSpec(id="a", command="run")) == Request()


def test_keys_are_of_one_length_and_tell_all_requests_apart() -> None:
    largest = Request.of(
        JobSpec(id="a", command="run", cores=4095, gpus=255, memory=2**62, max_run_time=1e12)
    )
    keys = {
        one.key
        for one in (Request(), Request(gpus=1), Request(memory=1), Request(disk=1), Request(time=1), largest)
    }
    assert len(keys) == 6
    assert {len(key) for key in keys} == {KEY_DIGITS}


@pytest.mark.parametrize(
    "free",
    [
        Free(cores=0),
        Free(cores=12, ahead=3, most=2, gpus=1, memory=0, disk=5, time=0),
        Free(cores=1, memory=7),
    ],
)
def test_what_is_free_reads_back(free: Free) -> None:
    assert Free.read(free.text) == free


def test_what_is_not_known_is_passed_over() -> None:
    assert Free.read("sockets=2 cores=3 licences=x") == Free(cores=3)


@pytest.mark.parametrize("text", ["", "memory=3", "cores=-1", "cores=x", "cores=99999999999"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="free"):
        Free.read(text)


@pytest.mark.parametrize(
    "wishes",
    [
        {"cores": 0},
        {"cores": 4, "max_cores": 2},
        {"gpus": -1},
        {"tags": ("a b",)},
        {"after": ("a",)},
        {"after": ("../x",)},
    ],
)
def test_a_job_with_wishes_that_nobody_can_fulfil_is_refused(wishes: dict[str, object]) -> None:
    with pytest.raises(BadName, match="job"):
        JobSpec(id="a", command="run", **wishes)  # type: ignore[arg-type]
