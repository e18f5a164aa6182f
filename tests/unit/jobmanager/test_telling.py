"""What agents are told on behalf of somebody: at once after a hint, by any instance, and again until it is so."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest

from copilot.jobmanager.reaching import WRITE_AGAIN, Reaching
from copilot.jobmanager.telling import BETWEEN_ROUNDS, LOOK_EVERY, NOT_SHOWN, SAY_AGAIN
from copilot.protocol.commands import CancelJob, Drain, JobOutput, Leaving, RenewLease, TailJob
from copilot.protocol.envelope import bare
from copilot.protocol.events import Acked, Received
from copilot.protocol.rules import FEATURES
from copilot.runtime.component import Hinted, Ignore, Online, Send, Tick
from copilot.store.memory import MemoryStore
from copilot.store.reach import Reach
from copilot.store.watched import BACKLOG, LONGEST_CHUNK, Stream
from tests.unit.jobmanager.test_logic import AGENT
from tests.unit.jobmanager.test_push import Pushing

ORDERS = Hinted(what="orders")
SOON = 2 * BETWEEN_ROUNDS
OURS = tuple(sorted(FEATURES))
HERE = Reach(jid="agent@x/now", features=OURS, session="v2:kid:session")
CANCEL = CancelJob(job_id="j1", attempt=1)
OUTPUT = JobOutput(
    job_id="j1", attempt=1, stream="stdout", offset=0, size=2, data=b64encode(b"hi").decode("ascii")
)


class Telling(Pushing):
    """With a job that runs at the agent."""

    async def running(self, reach: Reach | None = HERE) -> None:
        order = await self.pushed()
        await self.tell(Acked(id="r", to=AGENT, command=order))
        if reach is not None:
            await self.store.heard(bare(AGENT), reach)
        self.now += SOON

    async def orders(self) -> list[Send]:
        return [one for one in await self.tell(ORDERS) if isinstance(one, Send)]


async def test_an_order_goes_at_once_to_where_the_agent_has_spoken_last_in_its_session() -> None:
    world = Telling()
    await world.running()
    await world.store.cancel("j1")
    await world.store.drain([bare(AGENT)])
    assert await world.orders() == [
        Send(to=HERE.jid, command=CANCEL, session=HERE.session),
        Send(to=HERE.jid, command=Drain(), session=HERE.session),
    ]


async def test_of_whom_nothing_is_known_it_goes_to_whatever_session_there_is() -> None:
    world = Telling()
    await world.running(reach=None)
    await world.store.cancel("j1")
    assert await world.orders() == [Send(to=bare(AGENT), command=CANCEL)]


async def test_it_is_said_again_until_it_is_so_and_not_with_each_hint() -> None:
    world = Telling()
    await world.running()
    await world.store.cancel("j1")
    assert len(await world.orders()) == 1
    world.now += SOON
    assert await world.orders() == []
    world.now += SAY_AGAIN
    assert len(await world.orders()) == 1
    await world.store.leave(bare(AGENT), ())
    assert await world.tell(Hinted()) == []  # that hint is about jobs that wait


async def test_hints_that_come_one_upon_the_other_cost_one_round_more() -> None:
    world = Telling()
    await world.running()
    assert await world.orders() == []
    await world.store.cancel("j1")
    await world.store.drain([bare(AGENT)])
    before = world.store.round_trips
    for _ in range(9):
        assert await world.tell(ORDERS) == []
    assert world.store.round_trips == before
    world.now += SOON
    assert [one.command for one in await world.tell(Tick()) if isinstance(one, Send)] == [CANCEL, Drain()]
    world.now += SOON
    assert await world.orders() == []  # no agent is told to leave with each hint


async def test_agents_are_asked_for_what_somebody_wants_to_see() -> None:
    world = Telling()
    await world.running()
    await world.store.watch("j1", Stream.STDOUT)
    ask = TailJob(job_id="j1", attempt=1, stream="stdout", last=BACKLOG)
    assert await world.orders() == [Send(to=HERE.jid, command=ask, session=HERE.session)]
    assert world.manager.wakeup() == world.now + LOOK_EVERY
    assert await world.hear(OUTPUT, features=None) == []
    seen = await world.store.watch("j1", Stream.STDOUT)
    assert [chunk.data for chunk in seen.chunks] == [b"hi"]
    world.now += 1.0
    (again,) = [one for one in await world.tell(Tick()) if isinstance(one, Send)]
    assert again.command == replace(ask, last=None, offset=2)
    more = replace(OUTPUT, offset=2, size=99)
    (at_once,) = await world.hear(more, features=None)
    assert isinstance(at_once, Send)
    assert at_once.command == replace(ask, last=None, offset=4)


async def test_nobody_is_asked_once_nobody_looks() -> None:
    world = Telling()
    await world.running()
    await world.store.watch("j1", Stream.STDOUT)
    await world.orders()
    world.now += 61.0
    await world.tell(Tick())
    world.now += 1.0
    await world.tell(Tick())
    assert not [one for one in await world.tell(ORDERS) if isinstance(one, Send)]
    assert world.manager._telling.wakeup() is None


async def test_an_agent_that_cannot_is_not_asked_and_the_reader_is_told() -> None:
    world = Telling()
    await world.running(replace(HERE, features=("lease",)))
    await world.store.watch("j1", Stream.STDOUT)
    assert await world.orders() == []
    assert (await world.store.watch("j1", Stream.STDOUT)).note == NOT_SHOWN


@pytest.mark.parametrize(
    "wrong",
    [
        replace(OUTPUT, job_id="j9"),
        replace(OUTPUT, attempt=2),
        replace(OUTPUT, stream="core"),
        replace(OUTPUT, data="no base64"),
        replace(OUTPUT, data=b64encode(b"x" * (LONGEST_CHUNK + 1)).decode()),
    ],
)
async def test_what_an_agent_has_no_business_to_show_is_ignored(wrong: JobOutput) -> None:
    world = Telling()
    await world.running()
    await world.store.watch("j1", Stream.STDOUT)
    await world.orders()
    (ignored,) = await world.hear(wrong, features=None)
    assert isinstance(ignored, Ignore)
    assert (await world.store.watch("j1", Stream.STDOUT)).chunks == ()


async def test_where_agents_speak_is_written_once_for_each_session() -> None:
    store = MemoryStore()
    reaching, now = Reaching(store), 0.0

    async def hear(session: str = "s1", command: object = RenewLease(), **more: object) -> int:
        """How many calls that cost."""
        before = store.round_trips
        received = Received(
            command=command,  # type: ignore[arg-type]
            sender=AGENT,
            id="m",
            element=True,
            wants_ack=True,
            session=session,
            **({"features": frozenset(FEATURES)} | more),  # type: ignore[arg-type]
        )
        result = reaching.handle(received, now)
        actions: object = result if isinstance(result, list) else await result  # type: ignore[misc]
        assert actions == []
        return store.round_trips - before

    assert await hear(features=None) == 0  # one of 2011
    assert [await hear(), await hear(), await hear("s2"), await hear("s2")] == [1, 0, 1, 0]
    assert await store.reach([bare(AGENT)]) == {bare(AGENT): Reach(jid=AGENT, features=OURS, session="s2")}
    now += WRITE_AGAIN
    assert await hear("s2") == 1
    await hear("s2", command=Leaving())
    assert await hear("s2") == 1


async def test_before_it_is_online_nobody_is_told_anything() -> None:
    world = Telling()
    await world.store.drain(["a@x"])
    assert await world.tell(ORDERS) == []
    await world.tell(Online(jid="jm@x/one"))
    world.now += SOON
    assert await world.tell(ORDERS) == [Send(to="a@x", command=Drain())]
