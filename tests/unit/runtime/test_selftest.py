"""The loop says once what the self-test found, and its component hears nothing of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from copilot.protocol.events import ProtocolEvent
from copilot.protocol.selftest import SELF_TEST_ID
from copilot.runtime.component import Online
from copilot.transport.base import Arrived, TransportEvent
from copilot.transport.memory import MemoryNetwork, MemoryTransport
from tests.unit.runtime.bench import OWN, Scripted, running, until


class StrippingTransport(MemoryTransport):
    """As over ejabberd: nothing of the report's form arrives."""

    def __init__(self, network: MemoryNetwork) -> None:
        super().__init__(network, OWN)
        self.answers = 0

    def take(self, event: TransportEvent) -> None:
        if isinstance(event, Arrived):
            self.answers += event.envelope.id == SELF_TEST_ID
            event = Arrived(replace(event.envelope, body=None, noack=False))
        super().take(event)


async def test_what_it_found_is_logged_once_and_is_no_event(caplog: pytest.LogCaptureFixture) -> None:
    component = Scripted()
    made: list[StrippingTransport] = []

    def transport(network: MemoryNetwork) -> StrippingTransport:
        made.append(StrippingTransport(network))
        return made[0]

    async with running(component, transport) as bench:
        for sessions in (1, 2, 3):
            await until(lambda sessions=sessions: made[0].answers == sessions)  # type: ignore[misc]
            await until(lambda: "only the element carriage is used" in caplog.text)
            bench.network.cut(OWN)
        await until(lambda: component.events.count(Online(jid=OWN)) == 4)
    assert caplog.text.count("the XMPP server of x delivers") == 1
    assert not [event for event in component.events if isinstance(event, ProtocolEvent)]


async def test_where_bodies_pass_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    component = Scripted()
    async with running(component):
        await until(lambda: component.events == [Online(jid=OWN)])
    assert "carriage" not in caplog.text
