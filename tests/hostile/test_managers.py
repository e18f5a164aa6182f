"""What anybody with an account can write to the managers of a running system, byte for byte on the real server.

After each bad message a good one is served; the queue is as it was.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from copilot.job import JobRecord, JobSpec, State
from copilot.protocol import codec
from copilot.protocol.claim import Claim, Claims
from copilot.protocol.commands import (
    GetJob,
    GetJobOutputDir,
    HaveGetJob,
    HaveGetJobOutputDir,
    Job,
    JobDone,
    Ping,
    RunJob,
    Sleep,
    StoreJobOutputDir,
    WantGetJob,
    WantGetJobOutputDir,
)
from copilot.runtime.secret import load_secrets
from tests.acceptance.running import Up
from tests.contract.transport_fixtures import until
from tests.hostile.strangers import MANAGER, Stranger, info_of, stranger
from tests.patience import PATIENCE_S

WANT = WantGetJob(agent_host="h", jdl="[]")
GET = GetJob(agent_host="h", jdl="[]")
DONE = JobDone(job_id="j", exit_code=3, state="done", agent_host="h")
CLAIMANTS = ("getJobOutputDir", "jobDone")
_numbers = itertools.count()


@pytest.fixture(scope="module")
def system(ground: Path) -> Iterator[Up]:
    """Managers without an agent: tests play the agents."""
    up = Up(ground / "system")
    with up.running("--agents", 0):
        yield up


@pytest.fixture
async def bad(system: Up) -> AsyncIterator[Stranger]:
    """A session of a stranger."""
    async with stranger(system, "stranger") as made:
        yield made


@pytest.fixture
async def good(system: Up) -> AsyncIterator[Stranger]:
    """A session of a decent agent."""
    async with stranger(system, "decent") as made:
        yield made


async def is_served(agent: Stranger) -> None:
    """Whoever asks in order gets an answer: from the job manager, and from the storage manager."""
    await agent.acked(agent.tell(MANAGER, WANT))
    agent.tell(MANAGER, WantGetJobOutputDir(job_id="some"))
    await agent.answer(HaveGetJobOutputDir)


async def told(system: Up, text: str) -> None:
    """A manager has written this into its log."""
    await until(lambda: any(text in system.log(name) for name in ("jobmanager", "storagemanager")))


# -- what no manager can read


def deep(levels: int) -> str:
    return "<info command='pong' features='storage'>" * levels + "</info>" * levels


BAD_IDS = {
    "slash": "a/b",
    "dots": "..",
    "way up": "../../etc/passwd",
    "semicolon": "a;reboot",
    "newline": "a\nFLUSHALL",
    "blank": "a b",
    "nul": "a\0b",
    "hidden": ".a",
    "option": "-rf",
    "none": "",
    "umlaut": "ä",
    "10,000 characters": "x" * 10_000,
}
UNREADABLE = {
    "no command": ("<info features='storage'/>", "malformed"),
    "unknown command": ("<info command='makeCoffee' features='storage'/>", "unknown-command"),
    "bad base64": (info_of(GET, jdl="_BASE64:%%%"), "bad-value"),
    "base64 of no UTF-8": (info_of(GET, jdl="_BASE64:/w=="), "bad-value"),
    "bad base64 of the command": ("<info command='_BASE64:YQ' features='storage'/>", "bad-value"),
    "missing attribute": (info_of(GET, jdl=None), "missing-attribute"),
    "no job in runJob": ("<info command='runJob' features='storage'/>", "missing-attribute"),
    "no number": (info_of(DONE, exitCode="three"), "bad-value"),
    "a number without end": (info_of(DONE, exitCode="9" * 10_000), "bad-value"),
    "a negative size": (info_of(DONE, outputSize="-1"), "bad-value"),
    "ten deep": (deep(10), "malformed"),
    "10,000 deep": (deep(10_000), "malformed"),
    "500 kB of values": (info_of(GET, jdl="x" * 500_000), "too-large"),
    **{
        f"job id: {name}": (info_of(DONE, jobID=codec.encode_value(text)), "bad-value")
        for name, text in BAD_IDS.items()
    },
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_what_cannot_be_read_is_answered_by_error_and_told_to_the_operator(
    system: Up, bad: Stranger, good: Stranger, name: str
) -> None:
    info, code = UNREADABLE[name]
    assert await bad.refused(bad.say(MANAGER, info)) == code
    await told(system, f"dropped a message from {bad.jid}: {code}: ")
    await is_served(good)


@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_peer_of_2011_gets_an_acknowledgement_for_what_cannot_be_read_and_no_error(
    bad: Stranger, good: Stranger, name: str
) -> None:
    info = (
        UNREADABLE[name][0].replace("features='storage'", "").replace('features="_BASE64:c3RvcmFnZQ=="', "")
    )
    assert "features" not in info
    await bad.acked(bad.say(MANAGER, info, old=True))
    await is_served(good)
    await bad.acked(bad.tell(MANAGER, Ping(), old=True))
    assert not [envelope for envelope in bad.heard if envelope.body or envelope.element]


async def test_two_carriages_that_differ_are_answered_by_error(bad: Stranger, good: Stranger) -> None:
    one, other = info_of(GET), info_of(WANT)
    bad.write(
        f"<message to='{MANAGER}' id='two'><body>{one}</body><copilot xmlns='urn:copilot:1'>{other}</copilot></message>"
    )
    assert await bad.refused("two") == "malformed"
    await is_served(good)


async def test_a_message_without_an_id_is_told_to_the_operator(
    system: Up, bad: Stranger, good: Stranger
) -> None:
    for message in (f"<copilot xmlns='urn:copilot:1'>{info_of(GET)}</copilot>", "<body>hello</body>", ""):
        bad.write(f"<message to='{MANAGER}'>{message}</message>")
    await bad.acked(bad.tell(MANAGER, Ping()))
    for reason in ("no-id", "no-command"):
        await told(system, f"dropped a message from {bad.jid}: {reason}: ")
    assert len(bad.heard) == 1
    await is_served(good)


# -- who may say what


async def test_a_managers_command_sent_to_a_manager_is_dropped(
    system: Up, bad: Stranger, good: Stranger
) -> None:
    orders = (
        RunJob(job=Job(id="j", command="c")),
        Sleep(retry_after=9.0),
        HaveGetJob(),
        StoreJobOutputDir(job_id="j"),
    )
    ids = [bad.tell(MANAGER, order) for order in orders]
    await bad.acked(bad.tell(MANAGER, Ping()))
    assert not {ident for envelope in bad.heard for ident in envelope.acks} & set(ids)
    await is_served(good)


class World:
    """A job in the hands of an agent that a test plays."""

    def __init__(self, system: Up, name: str) -> None:
        self.system = system
        self.job = name
        self.claim = ""

    async def submitted(self) -> None:
        async with self.system.store() as store:
            await store.submit([JobSpec(id=self.job, command="job.sh")])

    async def taken(self, agent: Stranger) -> None:
        agent.tell(MANAGER, WANT)
        giver, _ = await agent.answer(HaveGetJob)
        agent.tell(giver, GET)
        # What was said to an earlier session, and not acknowledged there, is said again, and comes to this one.
        while not isinstance(run := (await agent.answer(RunJob))[1], RunJob) or run.job.id != self.job:
            pass
        self.claim = run.jm_job_data or ""

    async def record(self) -> JobRecord:
        async with self.system.store() as store:
            record = await store.get(self.job)
        assert record is not None
        return record

    def says(self, command: str, claim: str | None) -> GetJobOutputDir | JobDone:
        if command == "jobDone":
            return replace(DONE, job_id=self.job, jm_job_data=claim)
        return GetJobOutputDir(job_id=self.job, jm_job_data=claim)

    def signed(self, agent: Stranger, attempt: int, job: str = "") -> str:
        """A genuine claim."""
        return self._claims().sign(self._claim(agent, attempt, job))

    def forged(self, agent: Stranger) -> str:
        """One that is genuine but for the secret."""
        return self._claims([b"x" * 32]).sign(self._claim(agent, 1))

    def _claims(self, secrets: Sequence[bytes] = ()) -> Claims:
        """As the managers have it: the deployment stands in the claim that they gave."""
        payload = self.claim.split(".")[2]
        deployment = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))[0]
        file = self.system.directory / "state" / "claim.secret"
        return Claims(deployment, secrets or load_secrets(file, time.time()))

    def _claim(self, agent: Stranger, attempt: int, job: str = "") -> Claim:
        return Claim(job=job or self.job, attempt=attempt, agent=agent.jid.partition("/")[0], started=1.0)


@pytest.fixture
async def world(system: Up, good: Stranger) -> AsyncIterator[World]:
    """A job that the decent agent has taken; in the end it reports on it, and that counts."""
    made = World(system, f"job-{next(_numbers)}")
    await made.submitted()
    await made.taken(good)
    yield made
    await good.acked(good.tell(MANAGER, made.says("jobDone", made.claim)))
    ended = await made.record()
    assert ended.outcome is not None
    assert (ended.state, ended.attempt, ended.outcome.exit_code) == (State.FAILED, 1, 3)


FORGED = ("none", "empty", "rubbish", "long", "changed", "of another secret", "of another job", "of 2011")


@pytest.mark.parametrize("command", CLAIMANTS)
@pytest.mark.parametrize("kind", FORGED)
async def test_a_forged_claim_is_refused(world: World, bad: Stranger, kind: str, command: str) -> None:
    own = world.signed(bad, 1)
    claims = {
        "none": None,
        "empty": "",
        "rubbish": "1.x.y.z",
        "long": own + "x" * 10_000,
        "changed": own[:-6] + ("A" if own[-6] != "A" else "B") + own[-5:],
        "of another secret": world.forged(bad),
        "of another job": world.signed(bad, 1, "other"),
        "of 2011": "startedAt=1300000000",
    }
    before = await world.record()
    assert await bad.refused(bad.tell(MANAGER, world.says(command, claims[kind]))) == "claim-refused"
    assert await world.record() == before
    await told(world.system, f"refused {command} from {bad.jid}: jmJobData: ")


@pytest.mark.parametrize("command", CLAIMANTS)
async def test_another_agents_job_is_refused(world: World, bad: Stranger, command: str) -> None:
    before = await world.record()
    assert await bad.refused(bad.tell(MANAGER, world.says(command, world.claim))) == "claim-refused"
    assert await world.record() == before


@pytest.mark.parametrize("command", CLAIMANTS)
async def test_a_peer_of_2011_with_a_forged_claim_gets_an_acknowledgement_and_nothing_else(
    world: World, bad: Stranger, command: str
) -> None:
    before = await world.record()
    await bad.acked(bad.tell(MANAGER, world.says(command, world.claim), old=True))
    assert await world.record() == before
    assert not [envelope for envelope in bad.heard if envelope.body or envelope.element]


async def test_a_stale_claim_gets_no_directory_and_its_report_changes_nothing(
    world: World, good: Stranger
) -> None:
    before = await world.record()
    for attempt in (2, 7):
        claim = world.signed(good, attempt)
        await good.acked(good.tell(MANAGER, world.says("jobDone", claim)))
    claim = world.signed(good, 7)
    assert await good.refused(good.tell(MANAGER, world.says("getJobOutputDir", claim))) == "stale-attempt"
    assert await world.record() == before


async def test_a_report_on_a_job_that_waits_or_that_nobody_knows_changes_nothing(
    world: World, good: Stranger
) -> None:
    waiting = World(world.system, f"waits-{next(_numbers)}")
    await waiting.submitted()
    before = await waiting.record()
    for job in (waiting.job, "unknown"):
        claim = world.signed(good, 1, job)
        await good.acked(good.tell(MANAGER, replace(DONE, job_id=job, jm_job_data=claim)))
    request = GetJobOutputDir(job_id=waiting.job, jm_job_data=world.signed(good, 1, waiting.job))
    assert await good.refused(good.tell(MANAGER, request)) == "stale-attempt"
    assert await waiting.record() == before
    assert before.state is State.WAITING
    async with world.system.store() as store:
        assert await store.get("unknown") is None
    await waiting.taken(good)
    await good.acked(good.tell(MANAGER, waiting.says("jobDone", waiting.claim)))


async def test_a_second_report_that_says_otherwise_changes_nothing(world: World, good: Stranger) -> None:
    await good.acked(good.tell(MANAGER, world.says("jobDone", world.claim)))
    settled = await world.record()
    lie = replace(DONE, job_id=world.job, jm_job_data=world.claim, exit_code=0, state="ready")
    await good.acked(good.tell(MANAGER, lie))
    assert await world.record() == settled


async def test_an_output_that_was_never_stored_is_refused(world: World, good: Stranger) -> None:
    before = await world.record()
    lie = replace(
        DONE,
        job_id=world.job,
        jm_job_data=world.claim,
        exit_code=0,
        output_size=10**15,
        output_sha256="0" * 64,
    )
    assert await good.refused(good.tell(MANAGER, lie)) == "output-mismatch"
    assert await world.record() == before


# -- too much


async def is_acked(agent: Stranger, ident: str) -> bool:
    """Within a second."""
    try:
        async with asyncio.timeout(1):
            await agent.acked(ident)
    except TimeoutError:
        return False
    return True


async def test_ten_thousand_messages_of_one_stranger_hold_nobody_up(
    system: Up, bad: Stranger, good: Stranger
) -> None:
    flood = [info_of(WANT), UNREADABLE["unknown command"][0], info_of(RunJob(job=Job(id="j", command="c")))]
    for number in range(10_000):
        bad.say(MANAGER, flood[number % len(flood)])
    for _ in range(20):
        begin = time.monotonic()
        await is_served(good)
        assert time.monotonic() - begin < 5
    await told(system, f"{bad.jid} says more than it may: what is over its limit is dropped")
    async with asyncio.timeout(PATIENCE_S):  # what it says more slowly is heard again
        while not await is_acked(bad, bad.tell(MANAGER, Ping())):
            pass
    assert system.log("jobmanager").count(f"dropped a message from {bad.jid}: unknown-command: ") <= 2
    assert system.log("jobmanager").count(f"{bad.jid} says more than it may") <= 2
