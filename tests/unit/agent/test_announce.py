"""What an agent announces: managers read it as it is meant, and it never grows over what they read."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest

from copilot.agent.announce import attributes_of, fitting, requirements_of_jobs, version_key
from copilot.agent.drain import lifetime_here
from copilot.errors import ConfigError
from copilot.matching.host import MAX_BYTES
from copilot.matching.matcher import matches
from copilot.matching.requirements import read_requirements
from copilot.protocol.jdl import host_jdl
from tests.unit.agent.test_hardware import configured
from tests.unit.protocol.test_jdl import REPORTS_HOST

PROGRAMS = {"gromacs": ("4.9", "4.10"), "quantum-espresso": ("7.1",)}


def jdl(
    programs: Mapping[str, Sequence[str]] = MappingProxyType({}),
    tags: Sequence[str] = (),
    requirements: str = "",
) -> str:
    return host_jdl(REPORTS_HOST, attributes_of(programs, tags, ()), requirements=requirements)


@pytest.mark.parametrize(
    ("requirements", "met"),
    [
        ('versionGE(other.Program_gromacs, "4.9")', True),
        ('versionGE(other.Program_gromacs, "4.10")', True),
        ('versionGE(other.Program_gromacs, "4.11")', False),
        ('member("gromacs/4.9", other.Programs)', True),
        ('member("gromacs/4.8", other.Programs)', False),
        ('other.Program_quantum_espresso == "7.1"', True),
        ('versionGE(other.Program_namd, "1")', False),
        ('member("ssd", other.Tags) && !member("gpu", other.Tags)', True),
    ],
)
def test_jobs_ask_for_programs_by_version_and_for_tags(requirements: str, *, met: bool) -> None:
    assert matches(requirements, jdl(programs=PROGRAMS, tags=("ssd", "rack-7"))) is met


def test_ten_is_more_than_nine() -> None:
    assert sorted(["4.10", "4.9", "4.9.1", "10"], key=version_key) == ["4.9", "4.9.1", "4.10", "10"]


def test_two_names_that_become_one_attribute_stay_apart(caplog: pytest.LogCaptureFixture) -> None:
    said = attributes_of({"a-b": ("1",), "a.b": ("2",)}, (), ())
    assert said == {"Programs": ("a-b/1", "a.b/2"), "Program_a_b": "1"}
    assert "program a.b: Program_a_b is that of a-b already" in caplog.text


def test_what_an_agent_says_never_grows_over_what_managers_read(caplog: pytest.LogCaptureFixture) -> None:
    many = {f"program-{number}": ("1.0.1", "1.0.2") for number in range(500)}
    with caplog.at_level(logging.WARNING):
        kept = fitting(many, len(jdl().encode()))
    assert len(jdl(programs=kept).encode()) < MAX_BYTES
    assert 100 < len(kept) < 500
    assert f"{len(kept)} of 500 programs are announced, not program-{len(kept)}" in caplog.text
    assert matches('other.Program_program_5 == "1.0.2"', jdl(programs=kept))
    assert fitting(PROGRAMS, 1000) == PROGRAMS


# -- which jobs it wants


def test_an_agent_of_projects_asks_for_their_jobs() -> None:
    asked = requirements_of_jobs("other.Cores >= 4", ("alice", "cms"))
    assert asked == '(other.Cores >= 4) && (member(other.Project, {"alice", "cms"}))'
    text = jdl(requirements=asked)
    assert f'Requirements = ( other.Type == "Job" ) && ( {asked} );' in text
    assert read_requirements(f'( other.Type == "Job" ) && ( {asked} )')
    assert matches("other.Memory > 0", text), "the rest of it is read all the same"
    assert requirements_of_jobs("", ()) == ""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("other.Cores >=", "expected a value"),
        ("other.Memroy > 1", "no job has the attribute 'memroy'; expected some of Cores, Disk"),
        ("other.Cores == " + "1" * 4100, "expected at most 4096 bytes, found 4115"),
    ],
)
def test_requirements_that_cannot_be_read_are_refused_at_the_start(
    tmp_path: Path, text: str, fault: str
) -> None:
    with pytest.raises(ConfigError, match="AGENT_REQUIREMENTS: .*" + fault):
        configured(tmp_path, AGENT_REQUIREMENTS=text)


def test_too_many_projects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="AGENT_PROJECTS: expected at most 100 of 3072 bytes together, found 101"
    ):
        configured(tmp_path, AGENT_PROJECTS=" ".join(f"p{number}" for number in range(101)))


# -- how long it lives


@pytest.mark.parametrize(
    ("configured_life", "said", "life"),
    [
        (None, "1500", 500.0),
        (3600.0, "1500", 500.0),
        (100.0, "1500", 100.0),
        (None, "500", 0.0),
        (7.0, "soon", 7.0),
    ],
)
def test_an_agent_lives_no_longer_than_its_batch_job(
    configured_life: float | None, said: str, life: float
) -> None:
    assert lifetime_here(configured_life, {"SLURM_JOB_END_TIME": said}, 1000.0) == life
    assert lifetime_here(configured_life, {}, 1000.0) == configured_life
