"""Strangers cannot make the metrics grow: whatever they say, labels are words of our own."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from copilot.protocol.commands import GetJob, HeldJob, JobDone, Ping, RenewLease
from tests.acceptance.running import Up, VariedSystem
from tests.acceptance.shown import Shown
from tests.hostile.strangers import MANAGER, Stranger, info_of, stranger

FLOOD = 20  # messages of each kind: more than any label has words
DROPPED = 'copilot_messages_dropped_total{reason="unknown-command"}'
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
        first = await after(1, shown, up, bad)
        second = await after(2, shown, up, bad)
    assert second.keys() == first.keys()
    assert not re.findall(r'"w[0-9a-f]{8}"', " ".join(second))
    assert len(second) < MOST_SERIES


async def after(times: int, shown: Shown, up: Up, bad: Stranger) -> Counter[str]:
    """What the managers show when both are done with one more flood."""
    await flood(bad)
    counted = {
        'copilot_handling_seconds_count{command="getJob"}': times * FLOOD,
        'copilot_handling_seconds_count{command="renewLease"}': times * FLOOD,
        'copilot_handling_seconds_count{command="jobDone"}': times
        * 4
        * FLOOD,  # two of each, at both managers
        DROPPED: times * 4 * FLOOD,
    }
    return await shown.once(lambda sums: all(sums[name] == number for name, number in counted.items()))
