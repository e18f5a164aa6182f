"""How checks are made: each within its time, none in the way of another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from copilot.clock import SystemClock
from copilot.config.groups import QueuePlaceSettings
from copilot.doctor.check import Check, check_up, in_thread
from copilot.doctor.findings import Finding, Result, Verdict, ok, skipped, warning
from copilot.doctor.patient import Patient
from copilot.doctor.table import CHECKS, chosen
from copilot.errors import ConfigError


def no_store(_: QueuePlaceSettings) -> NoReturn:
    raise AssertionError("nobody has a queue here")


def patient(tmp_path: Path, *, raises: bool = False) -> Patient:
    return Patient(
        read={}, place=tmp_path, clock=SystemClock(), scratch=tmp_path, open_store=no_store, raises=raises
    )


async def results(checks: Sequence[Check], one: Patient) -> list[Result]:
    return [result async for result in check_up(checks, one)]


async def test_a_check_that_hangs_is_a_fault_and_the_others_are_made(tmp_path: Path) -> None:
    async def hang(_: Patient) -> list[Finding]:
        await asyncio.Event().wait()
        return []

    async def well(_: Patient) -> list[Finding]:
        return ok("well")

    checks = [Check(name="hangs", about="", run=hang, limit=0.05), Check(name="well", about="", run=well)]
    first, second = await results(checks, patient(tmp_path))
    assert (first.verdict, second.verdict) == (Verdict.FAULT, Verdict.OK)
    assert "within 0.05 s" in first.findings[0].seen


async def test_a_thread_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    async def blocked(_: Patient) -> list[Finding]:
        await in_thread(lambda: time.sleep(5))
        return ok("awake")

    (result,) = await results([Check(name="disk", about="", run=blocked, limit=0.05)], patient(tmp_path))
    assert result.verdict is Verdict.FAULT
    assert result.seconds < 4


async def test_what_a_thread_raises_arrives() -> None:
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0)


async def test_a_mistake_in_a_check_is_told_without_what_it_held_unless_it_is_asked_for(
    tmp_path: Path,
) -> None:
    async def wrong(_: Patient) -> list[Finding]:
        raise KeyError("a-secret")

    check = Check(name="wrong", about="", run=wrong)
    (result,) = await results([check], patient(tmp_path))
    assert result.findings[0].seen == "the check itself failed: KeyError"
    with pytest.raises(KeyError):
        await results([check], patient(tmp_path, raises=True))


async def test_an_error_of_ours_says_itself(tmp_path: Path) -> None:
    async def refused(_: Patient) -> list[Finding]:
        raise ConfigError("the file is not there")

    (result,) = await results([Check(name="x", about="", run=refused)], patient(tmp_path))
    assert (result.verdict, result.findings[0].seen) == (Verdict.FAULT, "the file is not there")


async def test_checks_of_a_chain_follow_each_other_and_results_come_in_order(tmp_path: Path) -> None:
    at_work, most = 0, 0

    async def work(_: Patient) -> list[Finding]:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0.001)
        at_work -= 1
        return ok("")

    checks = [Check(name=str(number), about="", run=work, chain="xmpp") for number in range(5)]
    assert [one.check for one in await results(checks, patient(tmp_path))] == ["0", "1", "2", "3", "4"]
    assert most == 1


async def test_what_many_need_is_looked_at_once(tmp_path: Path) -> None:
    looked = 0

    async def look() -> int:
        nonlocal looked
        looked += 1
        return looked

    one = patient(tmp_path)
    assert [await one.once("x", look) for _ in range(3)] == [1, 1, 1]
    await one.close()


def test_the_worst_finding_decides() -> None:
    worse = warning("", expected="", cure="")
    for findings, verdict in (
        (ok(""), Verdict.OK),
        (skipped(""), Verdict.SKIPPED),
        ([*ok(""), worse], Verdict.WARNING),
    ):
        assert Result(check="", findings=findings, seconds=0).verdict is verdict


async def test_nothing_is_set_up(tmp_path: Path) -> None:
    """Each check says why it is skipped, but the one that says that there are no settings."""
    found = await results(
        chosen(["settings", "xmpp", "redis", "fileserver", "chirp", "secrets", "disk"]), patient(tmp_path)
    )
    assert {one.check for one in found if one.verdict is not Verdict.SKIPPED} == {"settings"}


def test_checks_are_chosen_by_name_and_beginning() -> None:
    assert [check.name for check in chosen(["clock"])] == ["clock"]
    assert {check.name.partition("-")[0] for check in chosen(["redis"])} == {"redis"}
    assert chosen([]) == CHECKS
    with pytest.raises(ConfigError, match="did you mean xmpp-nagle"):
        chosen(["xmpp-naggle"])


def test_names_are_given_once() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
