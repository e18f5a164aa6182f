"""What of a machine is for jobs: what the operator says, and what is found."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from copilot.agent.capacity import Capacity, for_one_job
from copilot.agent.config import AgentConfig
from copilot.agent.gpus import devices_of, find_gpus
from copilot.agent.hardware import capacity_of
from copilot.config import load
from copilot.errors import ConfigError
from tests.unit.protocol.test_jdl import REPORTS_HOST

CPUS = (0, 2, 4, 6)
MEMORY, DISK = REPORTS_HOST.memory_mb, REPORTS_HOST.local_disk_kb // 1024
NEEDED = {
    "JM_JABBER_ADDRESS": "jm@x",
    "AGENT_JABBER_SERVER": "x",
    "AGENT_JABBER_DOMAIN": "x",
    "AGENT_JABBER_ID": "agent",
    "AGENT_JABBER_PASSWORD": "secret",
    "AGENT_WORK_DIR": "/tmp/agent",
}


def configured(directory: Path, **settings: str) -> AgentConfig:
    (directory / "copilot-agent.conf").touch()
    return load(AgentConfig, directory, NEEDED | settings)[0]


def found(directory: Path, **settings: str) -> Capacity:
    return capacity_of(configured(directory, **settings), REPORTS_HOST, CPUS, root=directory)


def test_without_a_word_all_of_the_machine_is_for_jobs(tmp_path: Path) -> None:
    assert found(tmp_path) == Capacity(cores=4, jobs=4, memory=MEMORY, disk=DISK)


@pytest.mark.parametrize(
    ("settings", "cores", "jobs", "most"),
    [
        ({"AGENT_CORES": "3"}, 3, 3, None),
        ({"AGENT_CORES": "3", "AGENT_MAX_CORES": "2"}, 3, 3, 2),
        ({"AGENT_SLOTS": "2"}, 4, 2, None),
        ({"AGENT_SLOTS": "8"}, 8, 8, None),  # as it was before there were cores
        ({"AGENT_CORES": "2", "AGENT_SLOTS": "8"}, 2, 8, None),
    ],
)
def test_cores_and_slots(
    tmp_path: Path, settings: dict[str, str], cores: int, jobs: int, most: int | None
) -> None:
    capacity = found(tmp_path, **settings)
    assert (capacity.cores, capacity.jobs, capacity.most) == (cores, jobs, most)


def test_more_cores_than_there_are_are_worth_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert found(tmp_path, AGENT_CORES="24").cores == 24
    assert "AGENT_CORES is 24, and this process may use 4 cores" in caplog.text


def test_jobs_are_bound_to_the_cores_that_the_agent_may_use(tmp_path: Path) -> None:
    assert found(tmp_path, AGENT_BIND="1", AGENT_CORES="3").cpus == (0, 2, 4)
    with pytest.raises(
        ConfigError, match="AGENT_BIND is on, and AGENT_CORES or AGENT_SLOTS is 8: expected at most the 4"
    ):
        found(tmp_path, AGENT_BIND="1", AGENT_CORES="8")


def test_a_job_may_have_what_was_allowed_to_it_although_less_was_found(tmp_path: Path) -> None:
    assert found(tmp_path, AGENT_MAX_MEMORY="2 GiB").memory == 2048
    assert found(tmp_path, AGENT_MEMORY="1 GiB").memory == 1024


def test_a_disk_that_is_full_at_the_start_says_nothing_of_what_jobs_may_use_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    full = replace(REPORTS_HOST, local_disk_kb=4 * 64 * 1024 - 1)
    with caplog.at_level(logging.WARNING):
        assert capacity_of(configured(tmp_path), full, CPUS, root=tmp_path).disk is None
    assert "255 MiB are free below /tmp/agent: the disk is full" in caplog.text
    caplog.clear()
    for settings, disk in (
        ({"AGENT_DISK": "1 GiB"}, 1024),
        ({"AGENT_MAX_DISK": "1 GiB"}, 1024),
        ({"AGENT_SLOTS": "3"}, 255),
    ):
        assert capacity_of(configured(tmp_path, **settings), full, CPUS, root=tmp_path).disk == disk
    assert not caplog.text


@pytest.mark.parametrize(
    ("part", "all_of_it", "fault"),
    [
        ("MAX_CORES", "CORES", "expected at most 2"),
        ("MAX_MEMORY", "MEMORY", "expected at most 2"),
        ("MAX_DISK", "DISK", "expected"),
    ],
)
def test_one_job_cannot_have_more_than_all(tmp_path: Path, part: str, all_of_it: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=f"AGENT_{part}: {fault}"):
        configured(tmp_path, **{f"AGENT_{part}": "3", f"AGENT_{all_of_it}": "2"})


@pytest.mark.parametrize(
    ("text", "gpus"),
    [("0", ()), ("2", ("0", "1")), ("1,", ("1",)), ("0,3", ("0", "3")), ("GPU-8f2a,", ("GPU-8f2a",))],
)
def test_gpus_are_as_many_or_these(tmp_path: Path, text: str, gpus: tuple[str, ...]) -> None:
    assert found(tmp_path, AGENT_GPUS=text).gpus == gpus


@pytest.mark.parametrize("text", ["256", "-1", "0;1", ",", "all of them"])
def test_what_names_no_gpus_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="AGENT_GPUS: expected auto"):
        configured(tmp_path, AGENT_GPUS=text)


def test_gpus_are_found_by_their_devices(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    for name in ("nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    assert find_gpus(tmp_path) == ("2", "10")
    assert found(tmp_path).gpus == ("2", "10")


def test_or_by_what_their_driver_tells(tmp_path: Path) -> None:
    (tmp_path / "proc/driver/nvidia/gpus/0000:65:00.0").mkdir(parents=True)
    assert find_gpus(tmp_path) == ("0",)


def test_a_payload_in_a_sandbox_gets_the_devices_of_its_own_gpus(tmp_path: Path) -> None:
    dev = tmp_path / "dev"
    (dev / "dri").mkdir(parents=True)
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null", "dri/renderD128"):
        (dev / name).touch()
    assert devices_of(("1",), tmp_path) == (dev / "nvidia1", dev / "nvidiactl", dev / "nvidia-uvm")
    assert devices_of(("GPU-8f2a",), tmp_path)[:2] == (dev / "nvidia0", dev / "nvidia1")
    assert devices_of((), tmp_path) == ()


def test_those_of_another_maker_come_together(tmp_path: Path) -> None:
    (tmp_path / "dev/dri").mkdir(parents=True)
    for name in ("kfd", "dri/card0", "dri/renderD128"):
        (tmp_path / "dev" / name).touch()
    assert devices_of(("0",), tmp_path) == (tmp_path / "dev/dri/renderD128", tmp_path / "dev/kfd")


@pytest.mark.parametrize(
    ("most", "together", "said"),
    [(8, 4, 4), (4, 8, 4), (4, None, 4), (None, 4, 4), (None, None, None)],
)
def test_no_job_is_promised_more_than_all_jobs_have_together(
    most: int | None, together: int | None, said: int | None
) -> None:
    assert for_one_job(most, together) == said
