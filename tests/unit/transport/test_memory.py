"""The pretend server's faults and the time that it lives in; what it shares with Prosody is in the contract."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from copilot.errors import ProtocolError
from copilot.protocol.envelope import Element, Envelope
from copilot.transport.base import Arrived, Connected
from copilot.transport.memory import Faults, MemoryNetwork, MemoryTransport

MESSAGE = Envelope(to="b@x/1", id="i", body=Element("info", {"command": "c"}))


def plans(faults: Faults, number: int = 1000) -> list[list[float]]:
    return [faults.plan(MESSAGE) for _ in range(number)]


async def pair(network: MemoryNetwork) -> tuple[MemoryTransport, MemoryTransport]:
    a, b = MemoryTransport(network, "a@x/1"), MemoryTransport(network, "b@x/1")
    for transport in (a, b):
        assert isinstance(await transport.next_event(), Connected)
    return a, b


async def arrived(transport: MemoryTransport) -> str | None:
    event = await transport.next_event()
    assert isinstance(event, Arrived)
    return event.envelope.id


def test_without_faults_a_message_arrives_once_and_at_once() -> None:
    assert plans(Faults()) == [[0.0]] * 1000


def test_loss_and_doubling_are_shares_of_the_messages() -> None:
    counts = [len(plan) for plan in plans(Faults(random=Random(1), loss=0.2, double=0.25))]
    assert 150 < counts.count(0) < 250
    assert 150 < counts.count(2) < 250


def test_delay_and_jitter_are_seconds_for_each_copy() -> None:
    faults = Faults(random=Random(1), double=1.0, delay=1.0, jitter=0.5)
    copies = [copy for plan in plans(faults) for copy in plan]
    assert len(set(copies)) == len(copies) == 2000
    assert 1.0 <= min(copies) < max(copies) < 1.5


def test_the_same_seed_gives_the_same_faults() -> None:
    first, second = (Faults(random=Random(7), loss=0.5, double=0.5, jitter=1.0) for _ in range(2))
    assert plans(first) == plans(second)


async def test_time_may_be_turned_by_hand() -> None:
    waiting: list[tuple[float, Callable[[], None]]] = []
    network = MemoryNetwork(Faults(delay=3.0), call_later=lambda delay, call: waiting.append((delay, call)))
    a, b = await pair(network)
    assert a.send(MESSAGE)
    [(delay, deliver)] = waiting
    assert delay == 3.0
    deliver()
    assert await arrived(b) == "i"


async def test_a_delayed_message_arrives_by_the_loop() -> None:
    a, b = await pair(MemoryNetwork(Faults(delay=0.001, double=1.0)))
    assert a.send(MESSAGE)
    assert [await arrived(b), await arrived(b)] == ["i", "i"]


async def test_a_lost_message_counts_as_sent() -> None:
    network = MemoryNetwork(Faults(loss=1.0))
    a, b = await pair(network)
    assert a.send(MESSAGE)
    network.faults = Faults()
    assert a.send(Envelope(to="b@x/1", id="next"))
    assert await arrived(b) == "next"


async def test_what_a_real_transport_refuses_is_refused_here() -> None:
    a, _ = await pair(MemoryNetwork())
    with pytest.raises(ValueError, match="allowed in XML"):
        a.send(Envelope(to="b@x/1", id="\0"))
    with pytest.raises(ProtocolError, match="allowed"):
        a.send(Envelope(to="b@x/1", body=Element("info", {"a": "x" * 70_000})))


async def test_a_stanza_error_for_a_sender_that_left_goes_nowhere() -> None:
    held: list[Callable[[], None]] = []
    network = MemoryNetwork(Faults(delay=1.0), call_later=lambda _, call: held.append(call))
    a, b = await pair(network)
    sibling = MemoryTransport(network, "a@x/2")
    assert isinstance(await sibling.next_event(), Connected)
    a.send(MESSAGE)
    sibling.send(Envelope(to="a@x/2", id="own"))
    await a.close()
    await b.close()
    for deliver in held:
        deliver()
    assert await arrived(sibling) == "own"
