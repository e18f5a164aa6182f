"""The desk: a status at a time, one for all that wait, and no more of them than it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from copilot.protocol.people import People
from copilot.transport import desk as desk_module
from copilot.transport.desk import MOST_WAITING, Desk
from copilot.transport.questions import COMMANDS, Questions
from tests.unit.transport.wire import iq

ASK = iq("set", "op@x/phone", f"<command xmlns='{COMMANDS}' node='status'/>")


class Office:
    """A desk whose status comes when it is let go."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.times = 0
        self.go = asyncio.Event()
        self.fault: Exception | None = None
        questions = Questions(
            kind="bot",
            name="n",
            version="1",
            features=(),
            allow=People.of("x"),
            has_status=True,
            new_id=lambda: "s",
        )
        self.desk = Desk(questions, self._status, self.said.append, lambda: "agent@x/one")

    async def _status(self) -> Mapping[str, str]:
        self.times += 1
        await self.go.wait()
        if self.fault is not None:
            raise self.fault
        return {"jobs": str(self.times)}

    async def over(self) -> None:
        while self.desk._at_work is not None:
            await asyncio.sleep(0)


async def test_a_flood_costs_one_status_and_the_rest_is_told_to_wait() -> None:
    office = Office()
    for _ in range(3 * MOST_WAITING):
        office.desk.hear(ASK)
    assert len(office.said) == 2 * MOST_WAITING
    assert all("resource-constraint" in answer for answer in office.said)
    office.said.clear()
    office.go.set()
    await office.over()
    assert len(office.said) == MOST_WAITING
    assert all("<value>1</value>" in answer for answer in office.said)
    office.desk.hear(ASK)
    await office.over()
    assert "<value>2</value>" in office.said[-1]


async def test_a_status_that_fails_is_told_and_the_next_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    office = Office()
    office.go.set()
    office.fault = ValueError("bug")
    office.desk.hear(ASK)
    await office.over()
    assert "internal-server-error" in office.said[-1]
    assert "cannot be told: bug" in caplog.text
    office.fault = None
    office.desk.hear(ASK)
    await office.over()
    assert "completed" in office.said[-1]


async def test_a_status_that_takes_too_long_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "ANSWER_WITHIN", 0.001)
    office = Office()
    office.desk.hear(ASK)
    while not office.said:
        await asyncio.sleep(0.001)
    assert "internal-server-error" in office.said[-1]


async def test_what_waits_when_the_connection_ends_gets_no_answer() -> None:
    office = Office()
    office.desk.hear(ASK)
    await asyncio.sleep(0)
    office.desk.close()
    office.go.set()
    assert office.desk._at_work is not None
    await asyncio.wait([office.desk._at_work])
    assert office.said == []
