"""Hosts as requirements see them."""

from __future__ import annotations

import time

import pytest

from copilot.host import HostFacts
from copilot.matching.host import MAX_BYTES, STEPS, bounded, read_host, round_down
from copilot.matching.matcher import matches, verdicts
from copilot.protocol.jdl import host_jdl

FACTS = HostFacts(
    hostname="node",
    platform="Linux-x86_64",
    uname="6.1",
    memory_mb=2047,
    free_memory_mb=2047,
    swap_mb=0,
    free_swap_mb=0,
    local_disk_kb=10_000_000,
    cores=4,
)
JDL = host_jdl(FACTS, {"Tags": ["gpu", "a b"], "Rate": 2.5, "Fast": True})


@pytest.mark.parametrize(
    "met",
    [
        "other.Memory >= 2047 && other.Cores == 4",
        'other.Platform == "linux-x86_64"',
        'member("gpu", other.Tags)',
        "other.Fast && other.Rate > 2",
        "other.Nothing =?= undefined",
        'versionge("4.10", "4.9") && other.Cores > 1',
    ],
)
def test_a_host_meets_what_is_true_of_it(met: str) -> None:
    assert matches(met, JDL)


@pytest.mark.parametrize(
    "not_met",
    [
        "other.Memory > 2047",
        "other.Nothing > 1",
        "!(other.Nothing > 1)",
        "other.Memory",
        'other.Platform + 1 == "x" || error',
        "other.Requirements",
        "other.Cores >=",
    ],
)
def test_what_is_not_just_true_is_not_met(not_met: str) -> None:
    assert not matches(not_met, JDL)


def test_every_host_meets_nothing_at_all() -> None:
    assert matches("", "nonsense")


def test_hosts_that_say_the_same_of_what_is_asked_for_are_of_one_class() -> None:
    names = ("cores", "memory")
    one = read_host('[ Cores = 4; Memory = 2000; WNHost = "a" ]', names)
    other = read_host('[ WNHost = "b"; memory = 2000; CORES = 4 ]', names)
    assert one.host_class == other.host_class
    assert read_host("[ Cores = 4; Memory = 2001 ]", names).host_class != one.host_class
    assert read_host("[ Cores = 4 ]", names).host_class != one.host_class
    assert read_host("[ Cores = 4; Memory = 2000 ]", (*names, "x")).host_class != one.host_class
    assert read_host("[ Cores = 4; Memory = true ]", names).host_class != one.host_class
    assert verdicts(one, ["other.Cores > 3", "other.Cores > 4"]) == (True, False)


def test_free_memory_is_rounded_down_by_at_most_an_eighth() -> None:
    for number in range(5000):
        assert number * (STEPS - 1) / STEPS <= round_down(number) <= number
    assert len({round_down(number) for number in range(4096, 8192)}) == STEPS
    assert round_down(-5) == -5
    assert matches("other.FreeMemory == 1920 && other.Memory == 2047", JDL)


@pytest.mark.parametrize(
    "jdl",
    [
        "",
        "[",
        "[ Cores = 2 + 2 ]",
        "\0",
        "[ a = " + "(" * 5000,
        "\ud800",
        '[ Cores = "4" ]',
    ],
)
def test_what_is_no_plain_value_does_not_count(jdl: str) -> None:
    assert not matches("other.Cores == 4", jdl)


def test_nothing_that_an_agent_sends_is_worked_out() -> None:
    doubling = "".join(f"a{n} = strcat(a{n - 1}, a{n - 1}); " for n in range(1, 60))
    began = time.process_time()
    assert not matches("other.a59 != 1", f'[ a0 = "x"; {doubling}]')
    assert time.process_time() - began < 5  # and not for ever, with all memory


def test_what_nobody_would_read_is_not_kept() -> None:
    assert bounded("x" * MAX_BYTES)
    assert bounded("x" * (MAX_BYTES + 1)) == ""
