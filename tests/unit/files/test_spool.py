from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from copilot.errors import NoSpace
from copilot.files.base import BATCH
from copilot.files.spool import Part, Spool
from tests.patience import PATIENCE_S

HALF = bytes(BATCH // 2)


class Disk:
    """Takes what is written, and notes in which thread and how many bytes at a time."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.held = bytearray()
        self.batches: list[int] = []
        self.threads: set[int] = set()
        self._failure = failure

    def write(self, parts: Sequence[Part]) -> None:
        if self._failure is not None:
            raise self._failure
        self.threads.add(threading.get_ident())
        self.batches.append(sum(map(len, parts)))
        self.held += b"".join(parts)


async def test_all_is_written_in_order_a_batch_at_a_time_in_a_thread() -> None:
    disk = Disk()
    async with Spool(disk.write) as spool:
        for number in range(5):
            await spool.add(HALF + bytes([number]))
    assert disk.held == b"".join(HALF + bytes([number]) for number in range(5))
    assert disk.batches == [BATCH + 2, BATCH + 2, BATCH // 2 + 1]
    assert threading.get_ident() not in disk.threads


async def test_nothing_to_write_is_nothing_written() -> None:
    disk = Disk()
    async with Spool(disk.write):
        pass
    assert disk.batches == []


async def test_more_is_taken_while_a_batch_is_written_but_not_without_end() -> None:
    gate = threading.Event()

    def write(_: Sequence[Part]) -> None:
        gate.wait(PATIENCE_S)

    async with Spool(write) as spool:
        await spool.add(bytes(BATCH))  # under way
        await spool.add(HALF)  # held
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await spool.add(HALF)
        gate.set()


async def test_what_goes_wrong_while_writing_is_told() -> None:
    with pytest.raises(NoSpace):
        async with Spool(Disk(NoSpace("full")).write) as spool:
            await spool.add(bytes(BATCH))


async def test_what_came_before_a_connection_broke_is_written() -> None:
    disk = Disk()

    async def transfer() -> None:
        async with Spool(disk.write) as spool:
            await spool.add(b"so far")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await transfer()
    assert disk.held == b"so far"


async def test_a_cancelled_transfer_writes_what_has_come_and_leaves_no_task() -> None:
    disk, entered = Disk(), asyncio.Event()

    async def transfer() -> None:
        async with Spool(disk.write) as spool:
            await spool.add(b"so far")
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(transfer())
    await entered.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (task.cancelled(), disk.batches) == (True, [6])
    assert asyncio.all_tasks() == {asyncio.current_task()}
