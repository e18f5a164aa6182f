"""What an agent says it is at with its jobs."""

from __future__ import annotations

from copilot.agent.effects import Execute
from copilot.runtime.component import Stopping
from tests.unit.agent.test_logic import ASSIGNMENT, OK, World


def test_an_idle_agent() -> None:
    told = World(slots=2).agent.standing()
    assert (told.slots, told.held, told.leaving) == (2, 0, False)


def test_each_job_counts_for_what_it_is_at() -> None:
    world = World()
    world.hold()
    for phase in ("fetch", "run"):
        world.phase = phase
        told = world.agent.standing()
        assert (told.held, told.fetching, told.running) == (1, phase == "fetch", phase == "run")
    world.finish(Execute(assignment=ASSIGNMENT), OK)
    told = world.agent.standing()
    assert (told.held, told.running, told.uploading) == (1, 0, 1)
    assert told.fields()["jobs-uploading"] == "1"


def test_one_that_leaves_says_so() -> None:
    world = World()
    world.tell(Stopping())
    assert world.agent.standing().fields()["leaving"] == "yes"
