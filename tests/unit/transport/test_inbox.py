"""The queue of events ends once, in order, and loses nothing."""

from __future__ import annotations

import asyncio

import pytest

from copilot.errors import SessionReplaced, TransportError
from copilot.transport.base import Connected, Disconnected
from copilot.transport.inbox import Inbox


async def test_events_come_in_order() -> None:
    inbox = Inbox()
    inbox.put(Connected("a@x/1"))
    inbox.put(Disconnected("gone"))
    assert [await inbox.get(), await inbox.get()] == [Connected("a@x/1"), Disconnected("gone")]


async def test_a_waiter_is_woken() -> None:
    inbox = Inbox()
    waiter = asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    inbox.put(Connected("a@x/1"))
    assert await waiter == Connected("a@x/1")


async def test_a_cancelled_wait_loses_no_event() -> None:
    inbox = Inbox()
    waiter = asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    inbox.put(Connected("a@x/1"))
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert await inbox.get() == Connected("a@x/1")


async def test_a_failure_comes_after_the_events_and_stays() -> None:
    inbox = Inbox()
    inbox.put(Connected("a@x/1"))
    inbox.fail(SessionReplaced("twice"))
    inbox.fail(TransportError("later"))
    inbox.put(Connected("a@x/2"))
    assert await inbox.get() == Connected("a@x/1")
    for _ in range(2):
        with pytest.raises(SessionReplaced, match="twice"):
            await inbox.get()


async def test_close_drops_events_and_wakes_the_waiter() -> None:
    inbox = Inbox()
    waiter = asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    inbox.close()
    inbox.put(Connected("a@x/1"))
    with pytest.raises(TransportError, match="closed"):
        await waiter
    assert len(inbox) == 0
    assert inbox.ended
