"""What an agent counts of its jobs, leases, journal and cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from copilot.agent.effects import Execute, Note, Remember
from copilot.agent.journal import Journal
from copilot.agent.processes import become_subreaper
from copilot.errors import TransferRefused
from copilot.job import Cause
from copilot.protocol.commands import HaveGetJobOutputDir, JobDone
from copilot.protocol.events import Acked
from copilot.runtime.component import Send
from tests.unit.agent import test_logic as logic
from tests.unit.agent import test_service as service

MEBIBYTE = 1024 * 1024


def test_a_job_is_counted_when_it_comes_ends_and_is_safe() -> None:
    world = logic.World(slots=1)
    world.hold()
    assert (world.counts.taken, dict(world.agent.phases())) == (1, {"run": 1})
    outcome = replace(logic.OK, cause=Cause.USER_EXIT, exit_code=3, output=None)
    world.finish(Execute(assignment=logic.ASSIGNMENT), outcome)
    assert (world.counts.ended, dict(world.agent.phases())) == ({"user-exit": 1}, {"upload": 1})
    world.hear(HaveGetJobOutputDir())
    (report,) = (
        action
        for action in world.hear(logic.STORE)
        if isinstance(action, Send) and isinstance(action.command, JobDone)
    )
    assert world.counts.reported == 0
    world.tell(Acked(id="r", to=report.to, command=report.command))
    assert (world.counts.reported, dict(world.agent.phases())) == (1, {})


def test_a_refused_job_is_not_taken() -> None:
    world = logic.World()
    world.hold()
    world.hear(replace(logic.RUN, job=replace(logic.JOB, id="j2")))
    assert world.counts.taken == 1


def test_leases_are_counted_when_a_manager_has_renewed_them_and_when_they_are_lost() -> None:
    world = logic.holding()
    actions = world.wait(20.0)
    assert world.counts.leases_renewed == 0
    logic.renewed(world, actions)
    assert (world.counts.leases_renewed, world.counts.leases_lost) == (1, 0)
    for _ in range(2):  # the second one is a copy
        world.hear(logic.LOST_HOLD)
    assert world.counts.leases_lost == 1


async def test_payload_journal_and_cache(tmp_path: Path) -> None:
    become_subreaper()
    world = service.World(tmp_path, input_cache=MEBIBYTE)
    counts = world.service._counts
    for _ in range(2):
        await world.run(world.assigned("sleep 0.05"))
    assert (counts.payload.count, counts.journal_writes, counts.journal_failures) == (2, 2, 0)
    assert 0.1 <= counts.payload.sum < 20
    assert (counts.cache_misses, counts.cache_hits) == (1, 1)
    assert counts.cache_bytes == len("#!/bin/sh\nsleep 0.05\n")
    again = service.World(tmp_path, input_cache=MEBIBYTE)
    again.service.recover()
    assert again.service._counts.cache_bytes == counts.cache_bytes


async def test_a_job_without_its_inputs_has_not_run(tmp_path: Path) -> None:
    world = service.World(tmp_path, service.TroubledFiles(TransferRefused("no such file")))
    assert (await world.run(world.assigned("true"))).cause is Cause.INFRA_FETCH
    assert world.service._counts.payload.count == 0


def test_a_note_that_the_disk_does_not_take_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(journal: Journal, note: Note, package: bytes | None = None) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "keep", full)
    world = service.World(tmp_path)
    with pytest.raises(OSError, match="No space"):
        world.service.perform(Remember(note=Note(assignment=logic.ASSIGNMENT)))
    assert (world.service._counts.journal_writes, world.service._counts.journal_failures) == (0, 1)
