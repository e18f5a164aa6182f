"""The queue of events ends once, in order, and loses nothing."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.errors import SessionReplaced, TransportError
from copilot.protocol.envelope import Envelope
from copilot.transport.base import (
    Arrived,
    Connected,
    Disconnected,
    PresenceChanged,
    RoomJoined,
    TransportEvent,
)
from copilot.transport.inbox import MOST_IN_LINE, Inbox


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


def said(sender: str, ident: str) -> Arrived:
    return Arrived(Envelope(to="jm@x", sender=sender, id=ident))


async def taken(inbox: Inbox) -> list[str]:
    """All that is in it: ids of messages, and what else there is by its name."""
    events = [await inbox.get() for _ in range(len(inbox))]
    return [one.envelope.id or "" if isinstance(one, Arrived) else type(one).__name__ for one in events]


async def test_senders_take_turns_whatever_their_resource_and_each_stays_in_order() -> None:
    inbox = Inbox()
    for number in range(4):
        inbox.put(said(f"flood@x/{number}", f"f{number}"))
    inbox.put(said("a@x/1", "a0"))
    inbox.put(PresenceChanged("A@x/1", False))
    inbox.put(said("b@x/1", "b0"))
    assert await taken(inbox) == ["f0", "a0", "b0", "f1", "PresenceChanged", "f2", "f3"]


async def test_nobody_gets_past_the_begin_or_end_of_a_session_nor_into_a_room_before_us() -> None:
    inbox = Inbox()
    events: list[TransportEvent] = [
        *(said("flood@x/1", f"f{number}") for number in range(2)),
        Disconnected("gone"),
        said("a@x/1", "a0"),
        said("a@x/1", "a1"),
        Connected("jm@x/1"),
        RoomJoined("room@c", "me"),
        said("b@x/1", "b0"),
        said("room@c/nick", "r0"),
    ]
    for event in events:
        inbox.put(event)
    expected = ["f0", "f1", "Disconnected", "a0", "a1", "Connected", "RoomJoined", "b0", "r0"]
    assert await taken(inbox) == expected
    assert len(inbox) == 0


async def test_a_line_has_an_end_and_those_of_others_do_not_feel_it() -> None:
    inbox = Inbox()
    kept = [inbox.put(said(f"flood@x/{number}", f"f{number}")) for number in range(MOST_IN_LINE + 5)]
    assert kept == [True] * MOST_IN_LINE + [False] * 5
    assert inbox.put(said("a@x/1", "a0"))
    assert inbox.put(PresenceChanged("flood@x/1", False))
    assert (await taken(inbox))[:2] == ["f0", "a0"]


@given(st.lists(st.one_of(st.integers(0, 2), st.sampled_from(["get", "session"]))))
async def test_nothing_is_lost_and_a_sender_waits_for_one_of_each_other(moves: list[int | str]) -> None:
    inbox, put, got = Inbox(), list[str](), list[str]()
    for number, move in enumerate(moves):
        if move == "get":
            if len(inbox):
                event = await inbox.get()
                got.append(event.reason if isinstance(event, Disconnected) else event.envelope.id)  # type: ignore[union-attr]
        elif move == "session":
            inbox.put(Disconnected(f"{number}"))
            put.append(f"{number}")
        else:
            inbox.put(said(f"s{move}@x/r", f"{number}"))
            put.append(f"{number}")
    got += [
        one.reason if isinstance(one, Disconnected) else one.envelope.id
        for one in [await inbox.get() for _ in range(len(inbox))]
    ]  # type: ignore[union-attr]
    assert sorted(got) == sorted(put)
    for sender in ("session", 0, 1, 2):
        own = [one for one in got if moves[int(one)] == sender]
        assert own == sorted(own, key=int)
