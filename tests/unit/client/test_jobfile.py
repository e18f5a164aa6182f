"""Job files in TOML, YAML and JSON say the same, and a mistake is named with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from copilot.client.jobfile import load_job_file, submission
from copilot.errors import BadName
from copilot.grid.jobkeys import KEYS, read_keys
from copilot.job import Limits

TOML = """
command = "run.sh"
arguments = ["-v", "two words"]
cores = "2-8"
rank = "Memory * 2"
memory = "2GiB"
walltime = "1h30m"
retries = 2
tags = ["night"]
inputs = ["data/in.dat"]
[environment]
MODE = "fast"
"""
YAML = """
command: run.sh
arguments: [-v, two words]
cores: 2-8
rank: Memory * 2
memory: 2GiB
walltime: 1h30m
retries: 2
tags:
  - night
inputs: [data/in.dat]
environment: {MODE: fast}
"""
JSON = """{"command": "run.sh", "arguments": "-v 'two words'", "cores": 2, "rank": "Memory * 2", "max_cores": 8, "memory": 2147483648,
"max_run_time": 5400, "max_user_attempts": 3, "tags": ["night"], "inputs": {"in.dat": "data/in.dat"},
"environment": {"MODE": "fast"}}"""


@pytest.mark.parametrize(
    ("name", "text"), [("j.toml", TOML), ("j.yaml", YAML), ("j.yml", YAML), ("j.json", JSON)]
)
def test_all_formats_say_the_same(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    job = submission(load_job_file(path), tmp_path, job="j", owner="alice")
    assert (job.id, job.owner, job.command) == ("j", "alice", tmp_path / "run.sh")
    assert (job.arguments, job.environment) == ("-v 'two words'", {"MODE": "fast"})
    assert (job.cores, job.max_cores, job.max_run_time, job.max_user_attempts) == (2, 8, 5400, 3)
    assert (job.limits, job.rank) == (Limits(memory=2**31), "Memory * 2")
    assert job.inputs == {"in.dat": tmp_path / "data/in.dat"}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("j.toml", 'comand = "x"', "'comand': no such key; did you mean command?"),
        ("j.toml", "command = ", "not TOML"),
        ("j.yaml", "command: [", "not YAML"),
        ("j.yaml", "command: a\ncommand: b", "'command' is said twice"),
        ("j.yaml", "!!python/object/apply:os.system ['true']", "not YAML"),
        ("j.yaml", "- a", "expected keys and values"),
        ("j.json", '{"command": "a", "command": "b"}', "'command' is said twice"),
        ("j.json", '{"memory": "2GX"}', "memory: expected a number of bytes, or a size like"),
        ("j.json", '{"walltime": 1, "max_run_time": 2}', "walltime and max_run_time mean the same"),
        ("j.json", '{"cores": "2-8", "max_cores": 4}', "cores: at most 8, but max_cores is 4"),
        ("j.json", '{"cores": "x"}', 'cores: expected a whole number, or "2-8"'),
        ("j.txt", "", "expected a job file called …"),
    ],
)
def test_a_mistake_is_named_with_its_place(name: str, text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(BadName) as caught:
        load_job_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


def test_a_file_that_is_too_long_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "j.json").write_text(" " * 70_000)
    with pytest.raises(BadName, match="more than 65536 bytes"):
        load_job_file(tmp_path / "j.json")
    with pytest.raises(BadName, match="No such file"):
        load_job_file(tmp_path / "k.json")
    with pytest.raises(BadName, match="command: missing"):
        submission({}, tmp_path, job="j", owner="")


@pytest.mark.parametrize("value", [None, [], {}, object(), 1.5, True, "x"])
def test_no_value_of_any_key_is_more_than_refused(value: Any) -> None:
    for key in KEYS:
        try:
            read_keys({key: value})
        except BadName as error:
            assert str(error).startswith(f"{key}: expected ")  # noqa: PT017
