"""Job files: what they may say, and the one line for what they may not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from copilot.errors import BadName
from copilot.grid.jobfile import MAX_BYTES, parse
from copilot.job import JobSpec


def parsed(**said: Any) -> Any:
    return parse("job-1", json.dumps({"command": "run.sh"} | said).encode())


def test_a_command_is_enough() -> None:
    job = parsed()
    assert (job.spec, job.files) == (JobSpec(id="job-1", command="run.sh"), {"run.sh": "run.sh"})


def test_every_key_has_its_effect() -> None:
    job = parsed(
        id="other",
        command="bin/run.sh",
        arguments="-v 'two words'",
        environment={"MODE": "a b"},
        packages=["VO_X@Root::v6"],
        inputs={"data/in": "in.dat"},
        validation="bin/check.sh",
        priority=5,
        max_run_time=3600,
        max_attempts=2,
        max_user_attempts=4,
        exclusive=True,
        requirements="Cores>3",
        rank="Memory*2",
        owner="alice",
    )
    assert job.spec == JobSpec(
        id="other",
        command="run.sh",
        arguments="-v 'two words'",
        environment="export MODE='a b'",
        packages=("VO_X@Root::v6",),
        validation="check.sh",
        priority=5,
        owner="alice",
        max_attempts=2,
        max_user_attempts=4,
        max_run_time=3600,
        exclusive=True,
        requirements="other.Cores > 3",
        rank="other.Memory * 2",
    )
    assert job.files == {"run.sh": "bin/run.sh", "check.sh": "bin/check.sh", "data/in": "in.dat"}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"command": ""}, "file name"),
        ({"command": "../run.sh"}, "without '..'"),
        ({"command": "/bin/sh"}, "relative name"),
        ({"command": ["run.sh"]}, "command: expected text"),
        ({"inputs": {"in": "../../etc/shadow"}}, "without '..'"),
        ({"inputs": [1]}, "inputs: expected an object of texts, or a list of texts"),
        ({"inputs": {"in": 1}}, "inputs: expected an object of texts"),
        ({"inputs": {"run.sh": "other"}}, "two different files would be 'run.sh'"),
        ({"validation": "a/run.sh"}, "two different files would be 'run.sh'"),
        ({"validation": "../check.sh"}, "without '..'"),
        ({"environment": {"A B": "1"}}, "environment variable 'A B'"),
        ({"packages": "root"}, "packages: expected a list of texts"),
        ({"exclusive": 1}, "exclusive: expected true or false"),
        ({"requirements": ["Cores > 1"]}, "requirements: expected text"),
        ({"requirements": "Cores >"}, "at the end"),
        ({"rank": "Cores *"}, "rank 'Cores *': expected"),
        ({"rank": 5}, "rank: expected text"),
        ({"priority": True}, "priority: expected a whole number"),
        ({"priority": 1.5}, "priority: expected a whole number"),
        ({"max_run_time": "1x"}, "max_run_time: expected a number of seconds, or a time like"),
        ({"id": "a/b"}, "job id 'a/b'"),
        ({"id": "j.a2"}, "kept for second attempts"),
        ({"owner": None}, "owner: expected text"),
        ({"comand": "x"}, "'comand': no such key; did you mean command? There are command, id"),
        ({"arguments": "x" * 20_000}, "put them into an input file"),
    ],
)
def test_what_may_not_be_is_refused_with_a_reason(said: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadName) as told:
        parsed(**said)
    assert reason in str(told.value)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"1", b"\xff", b"[" * 50_000, b" " * (MAX_BYTES + 1), b'{"command": 1' + b"0" * 5000],
)
def test_what_is_no_object_of_json_is_refused(text: bytes) -> None:
    with pytest.raises(BadName):
        parse("job-1", text)


def test_a_job_without_a_command_is_refused() -> None:
    with pytest.raises(BadName, match="command: missing"):
        parse("job-1", b"{}")
