"""Each reason for which a job may not run, made on the queue in memory, is the one that is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from copilot.client.explain import Code, Reason, explain
from copilot.client.explaining.reasons import MEANINGS
from copilot.files.area import FileArea
from copilot.job import Cause, InputFile, JobSpec, Outcome, State
from copilot.matching.needs import with_needs
from copilot.matching.requirements import for_sealed_hosts
from copilot.matching.resources import Free
from copilot.store.base import Held, Parking
from copilot.store.controls import Gate
from copilot.store.memory import MemoryStore
from copilot.store.rules import RESERVE_AFTER
from copilot.store.shares import Share
from tests.contract.store_fixtures import fake_redis_store

T = 1_700_000_000.0
BIG = "[ Memory = 8000; Cores = 4; MaxCores = 4; MaxMemory = 8000; Slots = 4 ]"
SMALL = "[ Memory = 4096; Cores = 4; MaxMemory = 4000 ]"
BAD = Outcome(cause=Cause.INFRA_STORE, exit_code=1, reason="no room")


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = T

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class World:
    """A queue, agents that ask it, and time that passes only here."""

    def __init__(self) -> None:
        self.clock = Hands()
        self.store = MemoryStore(self.clock)
        self.requests = 0

    async def submit(self, name: str, **fields: Any) -> None:
        await self.store.submit([JobSpec(id=name, command="run.sh", **fields)])

    async def agent(self, name: str, *, host: str = SMALL, **options: Any) -> list[str]:
        """It asks; what it got."""
        self.requests += 1
        jid = f"{name}@x/home"
        said: dict[str, Any] = {"host": host, "lease": 60.0, "park": Parking(jid=jid), **options}
        given = await self.store.claim(
            agent=f"{name}@x", request=str(self.requests), dispatch_limit=60, **said
        )
        return [one.spec.id for one in given]

    async def why(self, job: str, area: FileArea | None = None) -> Reason:
        return await explain(self.store, job, area=area)


@pytest.fixture
def world() -> World:
    return World()


async def test_a_name_that_nobody_has_is_told_with_similar_ones(world: World) -> None:
    await world.submit("simulation-17")
    reason = await world.why("simulation-71")
    assert (reason.code, reason.facts["similar"]) == (Code.UNKNOWN, ["simulation-17"])
    assert "did you mean simulation-17?" in reason.text


async def test_without_agents_the_last_one_is_named(world: World) -> None:
    await world.submit("j", requirements="other.Memory > 1")
    assert (await world.why("j")).text == "no agent is online"
    await world.agent("a", host="[ Memory = 1 ]")
    world.clock.now += 1200
    await world.store.dispatch(dispatch_limit=60)  # forgets who is parked for too long
    reason = await world.why("j")
    assert reason.code is Code.NO_AGENT
    assert reason.text == "no agent is online; the last one, a@x, asked for work 20 minutes ago"


async def test_the_part_that_nobody_meets_is_told_with_the_best(world: World) -> None:
    await world.submit("j", requirements="other.Memory >= 8192 && other.Cores >= 2")
    for number in range(12):
        await world.agent(f"a{number}")
    reason = await world.why("j")
    assert reason.code is Code.NO_MATCH
    assert reason.text == "needs Memory >= 8192: 12 agents online, best has 4096"
    assert reason.facts["closest"]["lacks"] == ["other.Memory >= 8192"]
    assert reason.facts["parts"][1] == {
        "part": "other.Cores >= 2",
        "met": 12,
        "best": 4,
        "said": [],
    }


async def test_parts_that_no_agent_meets_together_are_told(world: World) -> None:
    await world.submit("j", requirements='other.Site == "cern" && other.Cores >= 8')
    await world.agent("a", host='[ Site = "cern"; Cores = 4 ]')
    await world.agent("b", host='[ Site = "bnl"; Cores = 8 ]')
    text = (await world.why("j")).text
    assert text == (
        'needs Site == "cern" and Cores >= 8 of one agent: 2 agents online, 1 has the former, 1 the latter, none both'
    )


async def test_what_hosts_say_instead_is_told(world: World) -> None:
    await world.submit("j", requirements='other.Site == "fnal"')
    await world.agent("a", host='[ Site = "cern" ]')
    assert (await world.why("j")).text == 'needs Site == "fnal": 1 agent online, they have cern (1)'
    await world.submit("k", requirements="other.Fast")
    assert (await world.why("k")).text == "needs Fast: 1 agent online, none says anything of it"


async def test_a_job_that_is_too_big_is_told_how_big_it_may_be(world: World) -> None:
    await world.submit("j", memory=8 * 2**30, requirements=with_needs("", memory=8 * 2**30, disk=None))
    await world.agent("a")
    reason = await world.why("j")
    assert reason.code is Code.TOO_BIG
    assert reason.text == "needs 8 GiB of memory for one job: 1 agent online, the largest has 3.906 GiB"


async def test_secrets_need_a_sealed_session(world: World) -> None:
    await world.submit("j", requirements=for_sealed_hosts("other.Cores > 1"))
    await world.agent("a")
    assert (await world.why("j")).code is Code.SECRETS


async def test_a_hold_is_told_with_its_reason_as_far_as_the_stream_has_it(world: World) -> None:
    await world.submit("j")
    await world.store.hold("j", reason="wait for Ann")
    reason = await world.why("j")
    assert reason.code is Code.HELD
    assert reason.facts["since"] == T
    assert "release j" in reason.next


async def test_a_delay_is_told_with_its_end(world: World) -> None:
    await world.submit("j")
    for attempt in range(1, 8):
        await world.agent("a")
        await world.store.hand_back("j", attempt, cause=Cause.INFRA_UNDELIVERED)
        world.clock.now += 2
    await world.store.hold("j")
    await world.store.release("j")
    await world.agent("a")
    await world.store.hand_back("j", 8, cause=Cause.INFRA_UNDELIVERED)
    reason = await world.why("j")
    assert (reason.code, reason.facts["until"]) == (Code.BACK_OFF, world.clock.now + 8)
    assert "handed back 8 times in a row, last by a@x (infra-undelivered)" in reason.text


async def test_agents_in_quarantine_are_named(world: World) -> None:
    for number in range(3):
        await world.submit(f"bad-{number}", max_attempts=1)
        await world.agent("a")
        await world.store.finish(f"bad-{number}", 1, BAD)
    await world.submit("j")
    await world.agent("a")
    reason = await world.why("j")
    assert (reason.code, reason.facts["until"]) == (Code.QUARANTINE, T + 60)
    assert "`copilot agents release a@x`" in reason.next


async def test_who_was_set_aside_is_told_with_who_did_it(world: World) -> None:
    await world.agent("a")
    await world.store.set_aside("a@x", by="ann", reason="new disk")
    await world.submit("k")
    reason = await world.why("k")
    assert (reason.code, reason.facts["until"]) == (Code.QUARANTINE, None)
    assert "put there by ann: new disk: a@x; until somebody lets one out" in reason.text


async def test_a_queue_that_is_paused_gives_nothing(world: World) -> None:
    await world.submit("j")
    await world.store.pause(Gate.DISPATCH, by="ann", reason="power")
    reason = await world.why("j")
    assert reason.code is Code.PAUSED
    assert "the queue is paused by ann: power; no agent gets a job" in reason.text


async def test_an_exclusive_job_needs_leases(world: World) -> None:
    await world.submit("j", exclusive=True)
    await world.agent("a", lease=None)
    assert (await world.why("j")).code is Code.EXCLUSIVE


async def test_a_job_that_failed_just_now_is_left_to_others(world: World) -> None:
    await world.agent("other")
    await world.submit("0")
    await world.agent("other", count=2)  # two agents have had jobs: so there are others
    await world.submit("j", requirements="other.Cores == 4")
    await world.agent("a")
    await world.store.finish("j", 1, BAD)
    await world.agent("other", host="[ Cores = 1 ]")
    reason = await world.why("j")
    assert (reason.code, reason.facts["until"]) == (Code.LEFT_TO_OTHERS, T + 15)


async def test_agents_that_are_to_leave_get_nothing(world: World) -> None:
    await world.agent("a")
    await world.store.drain(["a@x"])
    await world.submit("j")
    assert (await world.why("j")).code is Code.DRAINING


async def test_a_job_that_is_the_next_waits_for_room(world: World) -> None:
    await world.submit("first")
    await world.agent("a")
    await world.submit("j")
    reason = await world.why("j")
    assert reason.code is Code.NO_ROOM
    assert reason.text == "it is the next one: 1 agent could take it, and is full now (1 job there): a@x"


async def test_a_job_that_needs_more_than_is_free_waits_for_room(world: World) -> None:
    await world.submit("small")
    await world.agent("a", host=BIG, free=Free(cores=4, most=4, memory=4000), count=4)
    await world.submit("j", cores=4, memory=2**30)
    reason = await world.why("j")
    assert reason.code is Code.NO_ROOM
    assert reason.text == (
        "it is the next one: 1 agent could take it, and none has room for it now: it needs 4 cores, 1 GiB of memory, a@x has 3 cores "
        "and 3.906 GiB of memory free (1 job there): a@x"
    )


async def test_an_agent_that_is_kept_for_a_job_is_named(world: World) -> None:
    await world.submit("small")
    await world.agent("a", host=BIG, free=Free(cores=4, most=4), count=4)
    await world.submit("j", cores=4)
    await world.store.dispatch(dispatch_limit=60)
    world.clock.now += RESERVE_AFTER + 1
    await world.store.dispatch(dispatch_limit=60)
    reason = await world.why("j")
    assert (reason.code, reason.facts["agent"]) == (Code.RESERVED, "a@x")
    assert "a@x is kept for it" in reason.text


async def test_a_job_that_no_agent_stays_long_enough_for_is_too_long(world: World) -> None:
    await world.agent("a", host=BIG, free=Free(cores=4, most=4, time=1800))
    await world.submit("j", max_run_time=7200)
    reason = await world.why("j")
    assert reason.code is Code.TOO_LONG
    assert reason.text == (
        "it may run for 2 hours, and the 1 agent that could take it leaves before that: the last one in 30 minutes"
    )


async def test_an_owner_who_has_as_much_as_he_may_is_told(world: World) -> None:
    await world.store.set_share(Share(whose="owner:ann", jobs=1))
    await world.submit("first", owner="ann")
    await world.agent("a")
    await world.submit("j", owner="ann")
    await world.agent("b")
    reason = await world.why("j")
    assert (reason.code, reason.facts["whose"]) == (Code.QUOTA, "owner:ann")
    assert reason.text == "owner ann has as much running as it may: 1 of 1 jobs"
    await world.store.set_share(Share(whose="project:atlas", cores=3))
    await world.submit("k", project="atlas", cores=4)
    assert (await world.why("k")).text == (
        "project atlas has as much running as it may: 0 of 3 cores, and it needs 4 cores"
    )


async def test_agents_that_want_other_jobs_are_told_with_what_they_want(world: World) -> None:
    await world.submit("j")
    await world.agent("a", host='[ Requirements = other.Project == "cms"; Cores = 4 ]')
    reason = await world.why("j")
    assert reason.code is Code.REFUSED_BY_AGENTS
    assert reason.text == (
        '1 agent meets its requirements, and wants other jobs: a@x takes those of which this is true: Project == "cms"'
    )


async def test_a_job_in_the_queue_is_told_its_place_and_the_pace(world: World) -> None:
    for number in range(40):
        await world.submit(f"n{number}", requirements="other.Cores > 1" if number % 2 else "")
    await world.submit("elsewhere", requirements="other.Cores > 99", priority=9)
    for _ in range(5):
        await world.agent("a", count=2)
        world.clock.now += 10
    reason = await world.why("n39")
    assert reason.code is Code.ITS_TURN
    assert reason.facts["place"] == 30
    assert reason.facts["estimate"] == pytest.approx(15 * 50 / 5)
    assert reason.text == (
        "29 jobs come before it in the queue; 1 agent could take it; about 2 minutes at the present pace"
    )


async def test_an_agent_with_room_is_named(world: World) -> None:
    await world.agent("a")
    await world.submit("j")
    reason = await world.why("j")
    assert (reason.code, reason.text) == (
        Code.ITS_TURN,
        "it is the next one, and a@x has room for it",
    )


async def test_of_several_with_room_the_one_that_it_prefers_is_named(world: World) -> None:
    for name, host in (("a", SMALL), ("b", BIG), ("c", BIG)):
        await world.agent(name, host=host)
        world.clock.now += 1
    await world.submit("j", rank="other.Memory")
    reason = await world.why("j")
    assert reason.text == "it is the next one, and b@x has room for it"
    assert reason.facts["rank"] == "other.Memory"
    assert [(one["agent"], one["rank"]) for one in reason.facts["preferred"]] == [
        ("b@x", 8000.0),
        ("c@x", 8000.0),
        ("a@x", 4096.0),
    ]


async def test_a_missing_input_is_told_before_anybody_tries(world: World, tmp_path: Path) -> None:
    area = FileArea(tmp_path)
    item = InputFile(name="data.bin", size=3, sha256="0" * 64)
    await world.submit("j", inputs=(item,))
    assert (await world.why("j", area)).facts["inputs"] == [
        {"name": "data.bin", "why": "is not in the file area"}
    ]
    place = area.input_path("j", "data.bin")
    place.parent.mkdir()
    place.write_text("12345")
    assert "has 5 bytes in the file area, and had 3" in (await world.why("j", area)).text
    place.write_text("123")
    assert (await world.why("j", area)).code is Code.NO_AGENT


async def test_a_running_job_is_told_where_and_until_when(world: World) -> None:
    await world.submit("j")
    await world.agent("a")
    assert (await world.why("j")).code is Code.HANDED
    await world.store.renew("a@x", [Held(job="j", attempt=1, phase="fetch")])
    world.clock.now += 20
    reason = await world.why("j")
    assert reason.code is Code.RUNNING
    assert reason.text.startswith("fetches its inputs at a@x, attempt 1, since")
    assert (reason.facts["until"], reason.facts["last_heard"]) == (T + 60, T)
    await world.store.cancel("j")
    assert (await world.why("j")).code is Code.CANCELLING


async def test_an_agent_that_is_gone_is_told_with_what_will_happen(world: World) -> None:
    await world.submit("j", max_attempts=2)
    await world.agent("a")
    await world.store.renew("a@x", [Held(job="j", attempt=1, phase="run")])
    await world.store.unpark("a@x/home")
    reason = await world.why("j")
    assert reason.code is Code.SILENT
    assert "goes to another agent (attempt 2)" in reason.next
    world.clock.now += 61
    await world.store.reap()
    await world.agent("b")
    await world.store.renew("b@x", [Held(job="j", attempt=2)])
    world.clock.now += 45  # most of the lease, without a word
    reason = await world.why("j")
    assert reason.code is Code.SILENT
    assert "this is the last of 2 attempts" in reason.next


async def test_a_job_that_failed_by_itself_is_told_with_code_and_stderr(world: World) -> None:
    await world.submit("j")
    await world.agent("a")
    tail = "".join(f"line {number}\n" for number in range(9))
    outcome = Outcome(cause=Cause.USER_SIGNAL, exit_code=139, host="node1", tail=tail)
    await world.store.finish("j", 1, outcome)
    reason = await world.why("j")
    assert reason.code is Code.FAILED
    assert "exit code 139 (SIGSEGV)" in reason.text
    assert reason.more[0].startswith("  attempt 1 at a@x on node1, ")
    assert [line.strip() for line in reason.more[-5:]] == [
        f"stderr | line {number}" for number in range(4, 9)
    ]
    assert reason.facts["attempts"][0]["exit_code"] == 139


async def test_a_limit_is_told_with_what_to_ask_for(world: World) -> None:
    await world.submit("j", memory=2**30)
    await world.agent("a")
    outcome = Outcome(cause=Cause.USER_MEMORY, exit_code=137, memory=2**30 + 2**20)
    await world.store.finish("j", 1, outcome)
    reason = await world.why("j")
    assert "used 1.001 GiB, a limit of 1 GiB" in reason.text
    assert reason.next.endswith("--memory '1282 MiB'")


async def test_attempts_that_the_infrastructure_spoilt_are_summed_up(world: World) -> None:
    await world.submit("j", max_attempts=3)
    for attempt, cause in enumerate((Cause.INFRA_STORE, Cause.INFRA_KILLED, Cause.INFRA_KILLED), 1):
        await world.agent(f"a{attempt}")
        await world.store.finish("j", attempt, Outcome(cause=cause, exit_code=137))
    reason = await world.why("j")
    assert reason.code is Code.DEAD_LETTER
    assert "after 3 attempts: somebody killed it with SIGKILL" in reason.text
    assert "(2 of 3), its output could not be packed or stored (1 of 3)" in reason.text


async def test_inputs_that_could_not_be_fetched_are_an_input_that_is_missing(world: World) -> None:
    await world.submit("j", max_attempts=1)
    await world.agent("a")
    await world.store.finish("j", 1, Outcome(cause=Cause.INFRA_FETCH, exit_code=1, reason="404: x"))
    reason = await world.why("j")
    assert reason.code is Code.INPUT_MISSING
    assert "(404: x)" in reason.text


@pytest.mark.parametrize(("cause", "code"), [(Cause.POLICY_RUN_TIME, Code.POLICY), (Cause.OK, Code.DONE)])
async def test_other_ends_have_codes_of_their_own(world: World, cause: Cause, code: Code) -> None:
    await world.submit("j")
    await world.agent("a")
    await world.store.finish("j", 1, Outcome(cause=cause, exit_code=0))
    assert (await world.why("j")).code is code


async def test_who_cancelled_it_may_have_said_why(world: World) -> None:
    await world.submit("j")
    await world.store.cancel("j", reason="not needed\x1b[2J")
    reason = await world.why("j")
    assert (reason.code, reason.facts["finished"]) == (Code.CANCELLED, T)
    assert "before it began: not needed\\x1b[2J" in reason.text


async def test_every_job_can_be_explained_in_a_bounded_number_of_round_trips(world: World) -> None:
    await world.submit("j", requirements="other.Cores > 9")
    await world.agent("a")
    before = world.store.round_trips
    reason = await world.why("j")
    assert world.store.round_trips - before <= 9  # most go together
    assert reason.data()["code"] == "no-matching-agent"
    assert reason.lines()[0] == "job j: no-matching-agent"


def test_every_code_means_something_and_every_final_state_has_one() -> None:
    assert set(MEANINGS) == set(Code)
    assert {"done", "failed", "cancelled"} <= {code.value for code in Code}
    assert State.DONE.value == Code.DONE.value


async def test_a_job_is_explained_in_three_round_trips_however_many_groups_and_agents_there_are() -> None:
    store = fake_redis_store()
    for number in range(30):
        jid = f"a{number}@x/home"
        await store.claim(
            agent=f"a{number}@x", request="r", dispatch_limit=60, host=SMALL, park=Parking(jid=jid)
        )
    jobs = [JobSpec(id=f"j{n}", command="c", requirements=f"other.Cores >= {9 + n}") for n in range(200)]
    await store.submit(jobs)
    await explain(store, "j0")  # the server learns the scripts
    before = store.round_trips
    reason = await explain(store, "j199")
    assert store.round_trips - before <= 3
    assert (reason.code, reason.facts["agents_online"]) == (Code.NO_MATCH, 30)
    await store.close()


async def test_a_job_that_waits_for_others_tells_for_which_and_whether_that_ends_by_itself(
    world: World,
) -> None:
    await world.submit("first", max_attempts=1)
    await world.submit("j", after=("first",))
    reason = await world.why("j")
    assert reason.code is Code.DEPENDENCY
    assert reason.text == "waits for 1 job: first (waiting)"
    await world.agent("a")
    await world.store.finish("first", 1, BAD)
    reason = await world.why("j")
    assert reason.text == "waits for 1 job: first (failed, infra-store); that does not end by itself"
    assert reason.facts["failed"]
    assert "`copilot jobs retry first` runs that once more" in reason.next


async def test_an_array_is_summed_up_with_one_element_for_each_state(world: World) -> None:
    await world.submit("sim", array=1000, requirements="other.Cores == 4")
    await world.agent("a", count=2)
    await world.store.finish("sim.0", 1, Outcome(cause=Cause.USER_EXIT, exit_code=3))
    reason = await world.why("sim")
    assert reason.facts["counts"] == {"waiting": 998, "running": 1, "failed": 1}
    assert reason.code is Code.NO_ROOM
    assert reason.text.startswith("array of 1,000 elements: 998 waiting, 1 running, 1 failed; sim.")
    assert re.fullmatch(
        r"  1 failed, like sim\.0: failed at \S+: its command ended with exit code 3", reason.more[-1]
    )
    assert (await world.why("sim.999")).facts["place"] == 998
    assert (await world.why("sim.0")).code is Code.FAILED
    beyond = await world.why("sim.1000")
    assert (beyond.code, beyond.facts) == (Code.UNKNOWN, {"similar": [], "array": "sim", "elements": 1000})
    assert beyond.text == "array sim has 1,000 elements, 0 to 999"
