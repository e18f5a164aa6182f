"""What a rank is on a host, and which ones are refused."""

from __future__ import annotations

import pytest

from copilot.errors import BadRequirements
from copilot.job import JobSpec
from copilot.matching.groups import group_of, is_plain, request_of
from copilot.matching.host import read_host
from copilot.matching.matcher import matches
from copilot.matching.rank import ANYWHERE, normal_rank, rank_of, read_rank, requirements_to_show

HOST = '[ Memory = 4096; Cores = 4; Load = 0.5; Name = "n"; Fast = true; Tags = { "ssd" } ]'


@pytest.mark.parametrize(
    ("rank", "expected"),
    [
        ("Memory", 4096.0),
        ("0 - TARGET.Memory", -4096.0),
        ("Cores * Load", 2.0),
        ("other.Fast", 1.0),
        ("!Fast", 0.0),
        ("Cores > 2", 1.0),
        ('1000 * (member("ssd", Tags) =?= true) + Cores', 1004.0),
        ('1000 * (member("gpu", Nothing) =?= true) + Cores', 4.0),
        ("Nothing", 0.0),
        ("Memory + Nothing", 0.0),
        ("Name", 0.0),
        ("Tags", 0.0),
        ("Cores / 0", 0.0),
        ("Cores / 0.0", 0.0),
        ("Cores * 1e308 * 1e308", 0.0),
        ("error || Cores", 0.0),
    ],
)
def test_a_rank_is_a_number_and_all_else_is_nothing(rank: str, expected: float) -> None:
    read = read_rank(rank)
    assert rank_of(read.text, read_host(HOST, read.attributes)) == expected


def test_on_a_host_that_cannot_be_read_it_is_nothing() -> None:
    assert rank_of("other.Memory", read_host("[ Memory = ", ("memory",))) == 0.0
    assert rank_of("", read_host(HOST, ())) == rank_of("other.Memory *", read_host(HOST, ("memory",))) == 0.0


@pytest.mark.parametrize(
    ("rank", "fault"),
    [
        ("Memory *", r"rank 'Memory \*': expected a value .* at the end"),
        ("random(Memory)", r"rank, character 1, at 'random\(Memory\)': expected one of the functions"),
        ("1000", "rank '1000': expected at least one attribute .*; leave out a rank that says nothing of it"),
        ("Memory" + " + Memory" * 3000, "rank of 27006 characters: at most 16384"),
        ("(" * 51 + "Memory" + ")" * 51, "rank, character 51, .* at most 50 brackets"),
        ("max({" + ", ".join(["size(Name)"] * 65) + "})", "rank, character .* at most 64 calls"),
        ("Cores ? 1", "rank 'Cores . 1': no ClassAd expression"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(rank: str, fault: str) -> None:
    with pytest.raises(BadRequirements, match=fault):
        normal_rank(rank)


def test_there_is_one_way_of_writing_it() -> None:
    assert normal_rank(" TARGET.Memory*2 ") == normal_rank("Memory * 2") == "other.Memory * 2"
    assert normal_rank("  ") == ""


def test_jobs_with_another_rank_are_another_group_and_others_are_what_they_were() -> None:
    plain, ranked, other = (
        JobSpec(id="j", command="c", rank=rank, cores=2) for rank in ("", "other.A", "other.B")
    )
    assert len({group_of(one) for one in (plain, ranked, other)}) == 3
    assert len(group_of(ranked)) == len(group_of(plain))
    assert group_of(ranked)[27] == "k"
    assert request_of(group_of(ranked)) == request_of(group_of(plain))
    assert not is_plain(group_of(JobSpec(id="j", command="c", rank="other.A")))


@pytest.mark.parametrize("jdl", ["", "[ Cores = 0 ]", '[ Cores = "x" ]', "[ Cores = 1 / 0 ]", "["])
def test_what_stands_for_no_requirements_holds_anywhere_and_is_not_shown(jdl: str) -> None:
    assert matches(ANYWHERE, jdl)
    assert requirements_to_show(ANYWHERE) == ""


def test_a_specification_of_before_has_no_rank_and_its_text_is_the_same() -> None:
    job = JobSpec.from_json('{"id":"j","command":"c"}')
    assert (job.rank, job.to_json()) == ("", '{"id":"j","command":"c"}')
    assert JobSpec.from_json(JobSpec(id="j", command="c", rank="other.A").to_json()).rank == "other.A"
