"""Blocking work of the same moment goes to one thread together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from copilot.files.gathered import MOST_AT_ONCE, Gathered
from tests.patience import PATIENCE_S


class Worker:
    """Keeps what it is handed, and waits until it may end."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.may_end = threading.Semaphore(0), threading.Semaphore(0)

    def work(self, batch: Sequence[int]) -> list[Exception | None]:
        self.batches.append(list(batch))
        self.begun.release()
        assert self.may_end.acquire(timeout=PATIENCE_S)
        return [ValueError(str(one)) if one < 0 else None for one in batch]

    async def until_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=PATIENCE_S)


async def test_what_comes_while_one_batch_is_at_work_makes_the_next() -> None:
    worker = Worker()
    gathered = Gathered(worker.work)
    first = [asyncio.create_task(gathered.do(one)) for one in (1, 2)]
    await worker.until_begun()
    more = [asyncio.create_task(gathered.do(one)) for one in range(3, 4 + MOST_AT_ONCE)]
    await asyncio.sleep(0)
    worker.may_end.release(3)
    await asyncio.gather(*first, *more)
    assert [len(batch) for batch in worker.batches] == [2, MOST_AT_ONCE, 1]
    assert [one for batch in worker.batches for one in batch] == list(range(1, 4 + MOST_AT_ONCE))


async def test_after_a_batch_others_may_gather_for_a_while() -> None:
    worker = Worker()
    worker.may_end.release(3)
    gathered = Gathered(worker.work, pause=0.001)
    await gathered.do(1)
    await asyncio.gather(*(gathered.do(one) for one in (2, 3)))
    assert worker.batches == [[1], [2, 3]]


async def test_each_hears_of_its_own_failure() -> None:
    worker = Worker()
    worker.may_end.release()
    gathered = Gathered(worker.work)
    results = await asyncio.gather(*(gathered.do(one) for one in (1, -2, 3)), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), ValueError, type(None)]


async def test_work_that_breaks_down_is_told_to_all_and_the_next_goes_on() -> None:
    def work(batch: Sequence[int]) -> list[Exception | None]:
        if 0 in batch:
            raise RuntimeError("broken")
        return [None] * len(batch)

    gathered = Gathered(work)
    with pytest.raises(RuntimeError, match="broken"):
        await gathered.do(0)
    await gathered.do(1)


async def test_one_who_does_not_wait_any_more_disturbs_nobody() -> None:
    worker = Worker()
    gathered = Gathered(worker.work)
    gone, stays = (asyncio.create_task(gathered.do(one)) for one in (1, 2))
    await worker.until_begun()
    gone.cancel()
    worker.may_end.release()
    await stays
    assert gone.cancelled()
