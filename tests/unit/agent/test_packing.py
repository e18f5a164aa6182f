"""What an agent has for jobs of several cores, GPUs, memory and disk: which begin, which wait, and what its manager hears of it."""

from __future__ import annotations

from typing import Any

import pytest

from copilot.agent.capacity import Capacity, Share
from copilot.agent.drain import LAST_STEPS, NO_LIMITS, Limits
from copilot.agent.effects import Assignment, Execute
from copilot.agent.search import SHOW_UP_EVERY
from copilot.agent.slots import Slots
from copilot.host import MEBIBYTE
from copilot.matching.resources import Free
from copilot.protocol.commands import GetJob, HaveGetJob, Job, JobDone
from copilot.protocol.rules import FEATURES
from copilot.runtime.component import Action, Online, Perform, Refuse, Send
from tests.unit.agent.test_direct import Direct, run
from tests.unit.agent.test_logic import World


def assignment(name: str, *, resources: bool = True, **needs: Any) -> Assignment:
    job = Job(id=name, command="run.sh", attempt=1, **needs)
    return Assignment(job=job, manager="jm@x", claim=None, resources=resources)


class Held:
    """Slots, and the jobs that are held."""

    def __init__(self, **capacity: Any) -> None:
        self.slots = Slots(Capacity(**capacity))
        self.jobs: dict[str, Assignment] = {}

    def come(self, name: str, **needs: Any) -> str | None:
        """Why it is not taken; None if it is."""
        one = assignment(name, **needs)
        fault = self.slots.why_not(one.job, self.jobs.values(), 0.0)
        if fault is None:
            self.slots.add(one)
            self.jobs[name] = one
        return fault

    def begin(self) -> dict[str, Share]:
        return {one.id: share for one, share in self.slots.begin(0.0)}

    def end(self, name: str, after: float = 60.0) -> None:
        self.slots.ended(name, after)
        del self.jobs[name]

    @property
    def free(self) -> Free:
        return self.slots.room(self.jobs.values(), ahead=True).free


def test_twenty_four_cores_run_a_job_of_twelve_and_twelve_of_one() -> None:
    held = Held(cores=24, jobs=24, most=12)
    assert held.free == Free(cores=24, most=12)
    assert held.come("large", cores=12) is None
    assert all(held.come(str(number)) is None for number in range(12))
    assert len(held.begin()) == 13
    assert (held.free.cores, held.slots.room(held.jobs.values(), ahead=True).jobs) == (0, 0)
    assert held.come("one more") == "it takes 1 cores, and 0 of 24 are free"


@pytest.mark.parametrize(
    ("needs", "fault"),
    [
        ({"cores": 3}, "it takes 3 cores, and a job of this agent gets 2 at most"),
        ({"gpus": 2}, "it takes 2 GPUs, and a job of this agent gets 1 at most"),
        (
            {"memory": 1001 * MEBIBYTE},
            "it takes 1001 MiB of memory, and a job of this agent gets 1000 at most",
        ),
        ({"disk": 500 * MEBIBYTE + 1}, "it takes 501 MiB of disk, and a job of this agent gets 500 at most"),
        ({"cores": 2, "gpus": 1, "memory": 1000 * MEBIBYTE, "disk": 500 * MEBIBYTE}, None),
    ],
)
def test_what_could_never_begin_is_not_taken(needs: dict[str, int], fault: str | None) -> None:
    held = Held(cores=12, jobs=12, most=2, gpus=("0",), memory=1000, disk=500)
    assert held.come("j", **needs) == fault


def test_memory_disk_and_gpus_are_packed_as_cores_are() -> None:
    held = Held(cores=4, jobs=4, gpus=("0", "2"), memory=4000, disk=400)
    assert held.come("a", memory=3000 * MEBIBYTE, gpus=1) is None
    assert held.come("b", memory=2000 * MEBIBYTE) is not None
    assert held.come("c", disk=301 * MEBIBYTE, memory=1000 * MEBIBYTE, gpus=1) is None
    assert held.come("d", disk=100 * MEBIBYTE) is not None
    assert held.come("e", gpus=1) is not None
    assert held.begin() == {"a": Share(gpus=("0",)), "c": Share(gpus=("2",))}
    assert held.free == Free(cores=2, gpus=0, memory=0, disk=0)  # a takes its share of the disk, too


def test_a_job_that_does_not_say_what_it_needs_counts_with_its_share_and_fits_all_the_same() -> None:
    held = Held(cores=4, jobs=4, memory=4000)
    assert held.come("a", cores=2) is None
    assert held.free.memory == 2000
    assert held.come("b", memory=4000 * MEBIBYTE) is None
    assert set(held.begin()) == {"a", "b"}


def test_first_come_first_begun_although_something_later_would_fit() -> None:
    held = Held(cores=4, jobs=4)
    for name in ("a", "b", "c", "d"):
        held.come(name)
    held.begin()
    held.end("a", after=0.1)  # jobs are short: some may wait
    assert held.come("large", cores=3) is None
    assert held.come("small") is None
    assert held.begin() == {}
    assert held.free.ahead == 0  # nothing would get past it
    held.end("b", after=0.1)
    held.end("c", after=0.1)
    assert set(held.begin()) == {"large"}
    held.end("d", after=0.1)
    assert set(held.begin()) == {"small"}


def test_no_two_jobs_have_a_core_or_a_gpu_at_the_same_time() -> None:
    held = Held(cores=4, jobs=4, cpus=(0, 1, 5, 7), gpus=("0", "1"))
    held.come("a", cores=2, gpus=1)
    held.come("b")
    assert held.begin() == {
        "a": Share(cores=2, cpus=(0, 1), gpus=("0",)),
        "b": Share(cores=1, cpus=(5,), gpus=()),
    }
    held.end("a")
    held.come("c", cores=3, gpus=2)
    assert held.begin() == {"c": Share(cores=3, cpus=(0, 1, 7), gpus=("0", "1"))}


def test_a_manager_that_knows_nothing_of_gpus_hides_none() -> None:
    slots = Slots(Capacity(gpus=("0",)))
    slots.add(assignment("old", resources=False))
    assert slots.begin(0.0)[0][1].gpus is None


def test_fewer_slots_than_cores_are_kept() -> None:
    held = Held(cores=8, jobs=2)
    held.come("a", cores=4)
    assert held.slots.room(held.jobs.values(), ahead=True).jobs == 1
    held.come("b")
    assert held.come("c") == "all 2 slots of this agent are taken"


# -- what its manager hears


class Packing(Direct):
    """Its manager knows what jobs take."""

    def __init__(self, capacity: Capacity, limits: Limits = NO_LIMITS) -> None:
        World.__init__(self, capacity=capacity, features=frozenset(FEATURES), limits=limits)
        self.tell(Online(jid="agent@x/a"))
        (self.asked,) = self.commands(self.hear(HaveGetJob()))

    def commands(self, actions: list[Action]) -> list[GetJob | JobDone]:
        return [
            one.command
            for one in actions
            if isinstance(one, Send) and isinstance(one.command, GetJob | JobDone)
        ]


def test_a_request_says_what_is_free_to_a_manager_that_understands_it() -> None:
    world = Packing(Capacity(cores=24, jobs=24, most=12, memory=64_000))
    assert (world.asked.slots, world.asked.free) == (24, "cores=24 most=12 memory=64000")
    old = World(slots=2, features=frozenset(FEATURES) - {"resources"})
    old.tell(Online(jid="agent@x/a"))
    (send,) = old.hear(HaveGetJob())
    assert isinstance(send, Send)
    assert isinstance(send.command, GetJob)
    assert (send.command.slots, send.command.free) == (2, None)


def test_a_report_asks_anew_if_the_manager_thinks_that_there_are_fewer_cores() -> None:
    """It knows of room for many jobs still, but of no core."""
    world = Packing(Capacity(cores=24, jobs=24))
    world.hear(run(1, cores=12))
    world.hear(run(2, cores=12))
    report = world.report(world.end(1, after=100.0))
    assert (report.slots, report.free) == (12, "cores=12")


def test_nothing_is_said_while_the_manager_knows_all_that_is_free() -> None:
    world = Packing(Capacity(cores=24, jobs=24))
    world.hear(run(1, cores=12))
    assert world.commands(world.wait(SHOW_UP_EVERY / 2)) == []


def test_a_job_begins_with_the_cores_that_its_manager_gave_it() -> None:
    world = Packing(Capacity(cores=4, jobs=4))
    (execute,) = [
        one.effect
        for one in world.hear(run(1, cores=3))
        if isinstance(one, Perform) and isinstance(one.effect, Execute)
    ]
    assert execute.share == Share(cores=3, gpus=())


def test_what_never_fits_is_handed_back_as_if_there_were_no_slot() -> None:
    world = Packing(Capacity(cores=4, jobs=4))
    (refusal,) = [one for one in world.hear(run(1, cores=5)) if isinstance(one, Refuse)]
    assert (refusal.code, refusal.text) == (
        "no-slot",
        "it takes 5 cores, and a job of this agent gets 4 at most",
    )


# -- how much time is left


def test_a_request_says_how_much_time_is_left() -> None:
    world = Packing(Capacity(), Limits(lifetime=1000.0, grace=40.0, born=900.0))
    assert world.asked.free == f"cores=1 time={1900 - 1000 - LAST_STEPS:g}"


def test_a_job_that_was_given_a_moment_too_late_goes_back_and_nobody_leaves() -> None:
    """It would have ended in time when we said how long that is."""
    world = Packing(Capacity(), Limits(lifetime=1000.0, grace=40.0, born=1000.0))
    world.wait(200.0)
    (refusal,) = [one for one in world.hear(run(1, max_run_time=900.0)) if isinstance(one, Refuse)]
    assert (refusal.code, refusal.text) == ("no-slot", "it may run for 900 s, and this agent leaves in 780 s")
    assert not world.agent.standing().leaving
    assert world.executing(world.hear(run(2, max_run_time=700.0))) == ["j2"]


def test_a_manager_that_does_not_look_at_the_time_makes_the_agent_leave() -> None:
    """Else it would give the same job again and again."""
    world = Packing(Capacity(), Limits(lifetime=1000.0, grace=40.0, born=500.0))
    world.hear(run(1, max_run_time=900.0))
    assert world.agent.standing().leaving
