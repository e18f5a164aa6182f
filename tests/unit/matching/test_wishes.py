"""What hosts ask of jobs: found in their JDL, evaluated over the job, and free of cost where it is what all say."""

from __future__ import annotations

import pytest

from copilot.job import JobSpec
from copilot.matching.host import NOTHING, REQUIRES, marked, read_host, requirements_of, with_mark
from copilot.matching.matcher import accepts, suits
from copilot.matching.needs import needed, with_needs

JOB = JobSpec(id="j", command="c", owner="ann", tags=("x", "y"), cores=3, memory=2**21, network=True)
MINE = '[ Requirements = other.Owner == "ann"; Cores = 8 ]'


@pytest.mark.parametrize(
    "jdl",
    [
        "",
        "nonsense requirements = 1",
        "[ Cores = 2 ]",
        '[\n  Requirements = ( other.Type == "Job" );\n  Cores = 2\n]',
        '[ requirements=(other.Type=="Job") ]',
        "[ Requirements = true ]",
        '[ Note = "my requirements = none" ]',
        "[ Requirements == 1 ]",
    ],
)
def test_most_hosts_ask_for_nothing(jdl: str) -> None:
    assert requirements_of(jdl) == ""
    assert with_mark(jdl) == jdl


@pytest.mark.parametrize("asked", ["system(1)", "my.x", "{", "1 +"])
def test_who_asks_for_what_nobody_can_read_gets_nothing_or_is_no_ad(asked: str) -> None:
    assert requirements_of(f"[ Requirements = {asked} ]") in (NOTHING, "")
    assert requirements_of("[ Requirements = my.x > 1 ]") == NOTHING
    assert not accepts(NOTHING, JOB)


def test_a_host_that_asks_for_some_jobs_is_of_a_class_of_its_own() -> None:
    plain, picky = read_host("[ Cores = 8 ]", ("cores",)), read_host(MINE, ("cores",))
    assert picky.requirements == 'other.Owner == "ann"'
    assert picky.host_class.startswith(REQUIRES)
    assert not plain.host_class.startswith(REQUIRES)
    assert read_host(with_mark(MINE), ("cores",)).host_class == picky.host_class
    assert len(picky.host_class) == len(plain.host_class) == 32


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ('other.Owner == "ann" && other.Cores == 3 && other.Memory == 2', True),
        ('member("y", other.Tags) && other.Network', True),
        ('other.Type == "Job" && other.Project == ""', True),
        ("other.Gpus > 0", False),
        ("other.Time > 0", False),
        ("other.Cores", False),
    ],
)
def test_only_what_is_true_is_wanted(asked: str, wanted: bool) -> None:
    assert accepts(requirements_of(f"[ Requirements = {asked} ]"), JOB) == wanted


def test_both_sides_have_to_want_it() -> None:
    assert suits(JOB, MINE)
    assert not suits(JOB, MINE.replace("8", "2"))
    assert not suits(JOB, MINE.replace("ann", "bob"))


def test_no_agent_makes_itself_one_of_a_sealed_session_by_marks() -> None:
    for forged in ("#sealed\n", "!#sealed\n", "!!#sealed\n", "#sealed\n!#sealed\n"):
        jdl = with_mark(marked(f"{forged}{MINE}", sealed=False))
        assert read_host(jdl, ("sealed",)).scope["other"]["sealed"] is False


def test_cores_and_gpus_are_required_whether_a_job_says_so_or_not() -> None:
    said = with_needs("", memory=None, disk=None, cores=3)
    assert needed(JOB) == said
    assert needed(JobSpec(id="j", command="c", cores=3, requirements=said)) == said
    both = needed(JobSpec(id="j", command="c", cores=3, gpus=1, requirements="other.A > 1"))
    assert both == f"(other.A > 1) && {said} && other.Gpus >= 1"
    assert needed(JobSpec(id="j", command="c")) == ""
