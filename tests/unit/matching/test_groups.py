"""Which jobs are alike to all agents."""

from __future__ import annotations

import re
from typing import Any

import pytest

from copilot.job import JobSpec
from copilot.matching.groups import GROUP_LENGTH, group_of, is_plain, request_of
from copilot.matching.resources import KEY_DIGITS, Request


def group(**fields: Any) -> str:
    return group_of(JobSpec(id="j", command="c", **fields))


def test_what_no_agent_can_tell_apart_is_of_one_group() -> None:
    assert group() == group(priority=5) == group(arguments="1", max_attempts=9)
    assert group(tags=("a", "b")) == group(tags=("b", "a"))
    assert len(group()) == GROUP_LENGTH


@pytest.mark.parametrize(
    "fields",
    [
        {"requirements": "other.A > 1"},
        {"owner": "x"},
        {"project": "x"},
        {"tags": ("x",)},
        {"network": True},
        {"image": "docker://x"},
        {"cores": 2},
        {"gpus": 1},
        {"memory": 2**20},
        {"disk": 2**20},
        {"max_run_time": 60.0},
    ],
)
def test_what_an_agent_may_tell_apart_is_not(fields: dict[str, Any]) -> None:
    assert group(**fields) != group()


def test_a_name_is_safe_whatever_is_in_the_job() -> None:
    name = group(requirements="../any:*\n", owner="a b\n", tags=("x",))
    assert re.fullmatch("[0-9a-f]{27}[pr][0-9a-f]{16}[A-Za-z0-9_-]{20}", name)
    assert re.fullmatch("[0-9a-f]{27}p[0-9a-f]{16}[A-Za-z0-9_-]{20}", group(owner="\udcff"))


def test_the_size_of_its_jobs_stands_in_the_name() -> None:
    request = Request(cores=4095, gpus=255, memory=2**28 - 1, disk=17, time=3)
    assert Request.from_key(request.key) == request
    assert len(request.key) == KEY_DIGITS
    assert request_of(group(cores=3, gpus=2, memory=2**30 + 1)) == Request(cores=3, gpus=2, memory=1025)


def test_any_host_will_do_for_a_job_of_one_core_without_requirements() -> None:
    assert is_plain(group(memory=2**20, owner="x"))
    assert not is_plain(group(cores=2))
    assert not is_plain(group(gpus=1))
    assert not is_plain(group(requirements="other.A > 1"))


def test_names_of_older_versions_mean_jobs_of_one_core() -> None:
    assert (is_plain("any"), is_plain("0" * 40)) == (True, False)
    assert request_of("any") == request_of("f" * 40) == Request()
