"""Strangers cannot make the metrics grow: whatever they say, labels are words of our own."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from copilot.protocol.commands import GetJob, HeldJob, JobDone, Ping, RenewLease
from tests.acceptance.running import LIMIT_S, Up, VariedSystem
from tests.acceptance.shown import Shown
from tests.hostile.strangers import MANAGER, Stranger, info_of, stranger

FLOOD = 20  # messages of each kind: more than any label has words
DROPPED = 'copilot_messages_dropped_total{reason="unknown-command"}'
ONCE_MORE_S = 10.0  # after which what is not counted is lost
MOST_SERIES = 1000  # of a manager, buckets included


@pytest.fixture
async def shown(up: Up) -> AsyncIterator[Shown]:
    """Managers that show metrics; tests play the agents."""
    system, numbers = VariedSystem(up.directory, agents=0), Shown(up.directory, ("JM", "SM"))
    numbers.switch_on(system)
    async with system.running():
        yield numbers


def word() -> str:
    return f"w{secrets.token_hex(4)}"


async def flood(bad: Stranger) -> None:
    """Commands, ids, causes, claims and features that nobody has used before."""
    for _ in range(FLOOD):
        job = word()
        bad.say(MANAGER, f"<info command='{word()}' features='storage'/>")
        bad.say(MANAGER, f"<info command='{word()}'/>", old=True)
        report = JobDone(
            job_id=job,
            exit_code=1,
            state=word(),
            agent_host=word(),
            cause=word(),
            jm_job_data=f"1.{word()}.{word()}",
        )
        bad.tell(MANAGER, report)
        bad.tell(MANAGER, GetJob(agent_host=word(), jdl="[]", agent_class=word()))
        bad.tell(MANAGER, RenewLease(held=(HeldJob(id=job, attempt=1, phase=word()),)))
        bad.say(MANAGER, info_of(report, features=(word(), "storage")))
    await bad.acked(bad.tell(MANAGER, Ping()))


async def test_words_of_strangers_are_no_labels_and_a_second_flood_makes_no_series(
    shown: Shown, up: Up
) -> None:
    async with stranger(up, "stranger") as bad:
        first = await after_a_flood(shown, bad, await shown.sums())
        second = await after_a_flood(shown, bad, first)
    assert second.keys() == first.keys()
    assert not re.findall(r'"w[0-9a-f]{8}"', " ".join(second))
    assert len(second) < MOST_SERIES


async def after_a_flood(shown: Shown, bad: Stranger, before: Counter[str]) -> Counter[str]:
    """What the managers show when they have handled one flood more than `before`. A slow machine may lose a part of it, for
    this stranger says nothing twice: he goes on until they have had their fill."""
    wanted = {
        'copilot_handling_seconds_count{command="getJob"}': FLOOD,
        'copilot_handling_seconds_count{command="renewLease"}': FLOOD,
        'copilot_handling_seconds_count{command="jobDone"}': 4 * FLOOD,  # two of each, at both managers
        DROPPED: 4 * FLOOD,
    }

    def handled(sums: Counter[str]) -> bool:
        return all(sums[name] - before[name] >= number for name, number in wanted.items())

    async with asyncio.timeout(LIMIT_S):
        while True:
            await flood(bad)
            with contextlib.suppress(TimeoutError):
                return await shown.once(handled, limit_s=ONCE_MORE_S)
