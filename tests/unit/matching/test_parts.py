"""Requirements are taken apart, and each part is tried on the hosts that are there."""

from __future__ import annotations

import pytest

from copilot.matching.host import marked
from copilot.matching.needs import with_needs
from copilot.matching.parts import MOST_PARTS, Hosts, parts_of, plain, try_hosts
from copilot.matching.requirements import for_sealed_hosts, normal_requirements


def host(**attributes: object) -> str:
    said = "; ".join(f"{name} = {value}" for name, value in attributes.items())
    return f"[ {said} ]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Memory >= 1", ("other.Memory >= 1",)),
        ("(Memory >= 1) && Cores > 2", ("other.Memory >= 1", "other.Cores > 2")),
        ("((a && (b && c)))", ("other.a", "other.b", "other.c")),
        ("a || b && c", ("other.a || other.b && other.c",)),
        ("(a || b) && c", ("other.a || other.b", "other.c")),
        ("a && b ? c : d", ("other.a && other.b ? other.c : other.d",)),
        ("a =?= 1 && b", ("other.a =?= 1", "other.b")),
        ('a == "x && (y" && b', ('other.a == "x && (y"', "other.b")),
        ('a == "\\"&&" && b', ('other.a == "\\"&&"', "other.b")),
        ("(a) && (b)", ("other.a", "other.b")),
        ('member("x && y", a) && !(b && c)', ('member("x && y", other.a)', "!(other.b && other.c)")),
        ("a && a", ("other.a",)),
    ],
)
def test_parts_stand_between_ands_outside_of_brackets(text: str, expected: tuple[str, ...]) -> None:
    assert parts_of(normal_requirements(text)) == expected


def test_no_requirements_have_no_parts_and_many_are_bounded() -> None:
    assert parts_of("") == ()
    many = normal_requirements(" && ".join(f"a > {number}" for number in range(100)))
    assert len(parts_of(many)) == MOST_PARTS
    assert try_hosts("", ["", ""]).meet == {0, 1}


def test_a_part_that_nobody_meets_names_the_best() -> None:
    hosts = [host(Memory=4096, Cores=4), host(Memory=2048, Cores=16)] * 6
    tried = try_hosts("other.Memory >= 8192 && other.Cores >= 8", hosts)
    assert (tried.hosts, tried.meet) == (12, frozenset())
    memory, cores = tried.parts
    assert (memory.plain, memory.met, memory.best) == ("Memory >= 8192", 0, 4096)
    assert (cores.plain, cores.met, cores.best) == ("Cores >= 8", 6, 16)
    assert (tried.closest, [part.plain for part in tried.lacks]) == (1, ["Memory >= 8192"])
    assert tried.apart is None


def test_parts_that_no_host_meets_together_are_named() -> None:
    hosts = [host(Memory=9000, Cores=4)] * 3 + [host(Memory=2048, Cores=16)]
    tried = try_hosts("other.Memory >= 8192 && other.Cores >= 8", hosts)
    assert tried.apart is not None
    assert [(part.plain, part.met) for part in tried.apart] == [("Memory >= 8192", 3), ("Cores >= 8", 1)]


def test_what_hosts_say_is_told_with_counts_where_no_number_is_compared() -> None:
    hosts = [host(Site='"cern"'), host(Site='"cern"'), host(Site='"bnl"'), host()]
    (part,) = try_hosts('other.Site == "fnal"', hosts).parts
    assert (part.met, part.said) == (0, (("cern", 2), ("bnl", 1)))
    (tags,) = try_hosts('member("gpu", other.Tags)', [host(Tags='{ "ssd", "big" }')]).parts
    assert (tags.plain, tags.said) == ('"gpu" in Tags', (("ssd", 1), ("big", 1)))
    (least,) = try_hosts("other.Load < 2", [host(Load=7), host(Load=5)]).parts
    assert least.best == 5


def test_the_needs_of_a_job_are_sizes() -> None:
    needs = with_needs("other.Cores > 1", memory=8 * 2**30, disk=None)
    tried = try_hosts(needs, [host(Memory=9000, MaxMemory=4096, Cores=2), host(Memory=2000, Cores=2)])
    own, size = tried.parts
    assert (own.size, own.met) == (False, 2)
    assert (size.size, size.met, size.best, size.plain) == (True, 0, 4096, "MaxMemory >= 8192")


def test_a_sealed_session_is_seen() -> None:
    sealed = for_sealed_hosts("")
    tried = try_hosts(sealed, [marked(host(Cores=1), sealed=True), host(Cores=1)])
    assert tried.meet == {0}
    assert tried.parts[0].sealed


def test_what_cannot_be_read_is_met_by_nobody() -> None:
    tried = try_hosts("other.Memory >>", [host(Memory=1)])
    assert (tried.meet, len(tried.parts)) == (frozenset(), 1)
    assert Hosts([host(Memory=1)], ["other.Memory >>"]).meet("other.Memory >>") == frozenset()
    assert try_hosts("other.Memory > 1", []).closest is None


def test_hosts_are_asked_about_many_requirements() -> None:
    asked = ["", "other.Memory == 2", "other.Memory > 2", "other.Memory > 3"]
    hosts = Hosts([host(Memory=number) for number in (1, 2, 2, 3)], asked)
    assert hosts.meet("") == {0, 1, 2, 3}
    assert hosts.meet("other.Memory == 2") == {1, 2}
    assert hosts.meet("other.Memory > 2") == {3}
    everybody, first = frozenset(range(4)), frozenset({0})
    assert [hosts.any_meets(text, everybody) for text in asked] == [True, True, True, False]
    assert [hosts.any_meets(text, first) for text in asked] == [True, False, False, False]


def test_plain_text_is_what_people_write() -> None:
    assert plain("other.Network =!= false") == "Network =!= false"
