"""Orders to a running agent: from strangers, who are not obeyed, and from a manager of evil intent, who is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from copilot.local.configuration import DOMAIN
from copilot.protocol import codec
from copilot.protocol.commands import (
    Command,
    Error,
    HaveGetJob,
    HaveGetJobOutputDir,
    Job,
    JobInput,
    Ping,
    RunJob,
    Sleep,
    StoreJobOutputDir,
    WantGetJobOutputDir,
)
from tests.acceptance.running import Up, packed, script
from tests.hostile.strangers import FEATURES, Stranger, command_of, stranger, text_of
from tests.unit.files.chirp_serving import LOGGED_IN, Talk, talking

ORDERS: tuple[Command, ...] = (
    RunJob(job=Job(id="evil", command="evil.sh")),
    HaveGetJob(require_file="/etc/passwd"),
    Sleep(retry_after=1e9),
    StoreJobOutputDir(job_id="evil", output_url="https://example.org/"),
    HaveGetJobOutputDir(),
    Error(error_string="go away", code="no-slot", in_reply_to="any"),
)
EACH = 12  # together less than an agent reads of a stranger at once


@pytest.fixture(scope="module")
def system(ground: Path) -> Iterator[Up]:
    """Managers; tests start the agents."""
    up = Up(ground / "system")
    with up.running("--agents", 0):
        yield up


def said(system: Up) -> str:
    """What the agent has logged since its start."""
    return (system.directory.parent / "machine-1" / "agent.out").read_text()


def agent_of(system: Up) -> str:
    """The full JID of the agent."""
    (jid,) = re.findall(r"Ready as (\S+)", said(system))
    return str(jid)


async def test_orders_of_a_stranger_are_dropped_told_once_and_counted_and_the_next_job_is_done(
    system: Up, place: Path
) -> None:
    with system.agent():
        agent = agent_of(system)
        async with stranger(system, "stranger") as bad:
            for order in ORDERS * EACH:
                bad.tell(agent, order)
            ping = bad.tell(agent, Ping())
            await bad.acked(ping)
        assert [(one.acks, one.element, one.body) for one in bad.heard] == [((ping,), None, None)]
        record = await asyncio.to_thread(system.job, script(place / "job.sh", "echo fine"))
    assert (record["state"], packed(record)["stdout"]) == ("done", "fine\n")
    told = f"dropped a message from {bad.jid}: not-trusted: runJob from a JID that this agent does not obey"
    unanswered = f"dropped a message from {bad.jid}: not-allowed: Heartbeat:ping is not answered"
    assert said(system).count(told) == said(system).count(unanswered) == 1
    assert said(system).count(bad.jid) == 2
    counted = f"dropped {EACH * len(ORDERS)} not-trusted, 1 not-allowed\n"
    assert f"without effect since they were last counted: {counted}" in said(system)


# -- a manager that means ill

PATHS = ("../run.sh", "/bin/sh", "a/../../run.sh", "a\nb", "a\\b", "x" * 10_000)
IDS = ("..", "a/b", "a;b", "a\nb", ".a", "", "x" * 10_000)
EVIL_JOBS = {
    **{f"command {path[:14]!r}": Job(id="evil", command=path) for path in ("", *PATHS)},
    **{f"inputFiles {path[:14]!r}": Job(id="evil", command="c", input_files=("a", path)) for path in PATHS},
    **{f"validation {path[:14]!r}": Job(id="evil", command="c", validation=path) for path in PATHS},
    **{
        f"input {path[:14]!r}": Job(
            id="evil", command="c", inputs=(JobInput(name=path, url="https://x/", size=1, sha256="0" * 64),)
        )
        for path in PATHS
    },
    **{f"id {text[:14]!r}": Job(id=text, command="c") for text in IDS},
}


@pytest.fixture(scope="module")
def enslaved(system: Up) -> Iterator[str]:
    """The full JID of an agent that obeys the account `evil`."""
    with system.agent(JM_JABBER_ADDRESS=f"evil@{DOMAIN}", AGENT_SLOTS="5"):
        yield agent_of(system)


@pytest.fixture
async def evil(system: Up) -> AsyncIterator[Stranger]:
    """The manager that it obeys."""
    async with stranger(system, "evil") as made:
        yield made


@pytest.mark.parametrize("name", EVIL_JOBS)
async def test_a_job_whose_names_could_lead_anywhere_is_refused(
    system: Up, enslaved: str, evil: Stranger, name: str
) -> None:
    order = text_of(codec.encode(RunJob(job=EVIL_JOBS[name]), FEATURES))
    assert await evil.refused(evil.say(enslaved, order)) == "bad-value"
    assert f"dropped a message from {evil.jid}: bad-value: runJob: " in said(system)
    await evil.acked(evil.tell(enslaved, Ping()))


async def test_a_manager_of_2011_gets_no_error(enslaved: str, evil: Stranger) -> None:
    order = text_of(codec.encode(RunJob(job=Job(id="../x", command="c"))))
    await evil.acked(evil.say(enslaved, order, old=True))
    await evil.acked(evil.tell(enslaved, Ping(), old=True))
    assert not [one for one in evil.heard if isinstance(command_of(one), Error)]


async def test_answers_that_nobody_asked_for_change_nothing(
    system: Up, enslaved: str, evil: Stranger
) -> None:
    unasked: tuple[Command, ...] = (
        StoreJobOutputDir(job_id="nobody", output_url="https://example.org/"),
        HaveGetJobOutputDir(job_id="nobody"),
        HaveGetJobOutputDir(),
        Error(error_string="stop", code="claim-refused", in_reply_to="never-said", job_id="nobody"),
    )
    for command in unasked:
        evil.tell(enslaved, command)
    await evil.acked(evil.tell(enslaved, Ping()))
    assert "Traceback" not in said(system)


def chirp(answer: bytes) -> Talk:
    """A Chirp server that lets in by address alone, and answers the first request so."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline() != b"address\n":
            writer.write(b"no\n")
        writer.write(LOGGED_IN)
        await reader.readline()
        writer.write(answer)

    return talk


CHIRPS = {
    "refuses": (b"-2\n", "we have no right to do this"),
    "lies": (b"99999999999999999\n", "a size of 99999999999999999"),
    "babbles": (b"SSH-2.0-OpenSSH\r\n", "the server does not speak Chirp as we know it"),
}


@pytest.mark.parametrize("name", CHIRPS)
async def test_a_job_whose_chirp_server_refuses_or_lies_is_reported_as_failed_with_the_reason(
    system: Up, enslaved: str, evil: Stranger, name: str
) -> None:
    answer, reason = CHIRPS[name]
    async with talking(chirp(answer)) as port:
        wanted = JobInput(name="in", url=f"chirp://127.0.0.1:{port}/in", size=5, sha256="0" * 64)
        job = Job(id=f"chirp-{name}", command="in", attempt=1, inputs=(wanted,))
        await evil.acked(evil.tell(enslaved, RunJob(job=job, jm_job_data="claim")))
        asked = None
        while asked != job.id:  # of other jobs it may ask, too
            _, command = await evil.answer(WantGetJobOutputDir)
            asked = command.job_id if isinstance(command, WantGetJobOutputDir) else None
    (told,) = re.findall(rf"job {job.id}, attempt 1: infra-fetch, exit code 1(.*)", said(system))
    assert reason in told


async def test_after_all_that_an_order_that_makes_sense_is_taken(enslaved: str, evil: Stranger) -> None:
    order = RunJob(job=Job(id="good", command="missing.sh", attempt=1), jm_job_data="claim")
    await evil.acked(evil.tell(enslaved, order))
