"""The answering part of every component: its room, and who gets an answer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from copilot.errors import RoomRefused
from copilot.heartbeat.effects import Announce, Gather, Join, Prepare
from copilot.heartbeat.logic import (
    ADMISSION,
    ENTER_LIMIT,
    MOST_MODERATORS,
    STATUSES_AT_ONCE,
    Heartbeat,
    HeartbeatSettings,
)
from copilot.protocol.commands import Command, GetStatus, HaveStatus, Ping, Pong
from copilot.protocol.events import Received
from copilot.protocol.nick import unique_nick
from copilot.protocol.people import People
from copilot.runtime.component import (
    Action,
    Finished,
    Ignore,
    InRoom,
    Occupied,
    Offline,
    Online,
    OutOfRoom,
    Perform,
    Send,
    Tick,
)

ROOM = "lounge-0@conference.example.org"
ME = "agent7@example.org/node7"
BOSS = "boss@example.org"
OWNER = "jm@example.org"


def heartbeat(*allow: str, room: str | None = ROOM) -> Heartbeat:
    place = None if room is None else lambda _: room
    settings = HeartbeatSettings(room=place, owner=OWNER, allow=People.of(*(allow or (BOSS,))))
    return Heartbeat(settings, random=lambda: 0.5)


def asked(command: Command, sender: str) -> Received:
    return Received(command=command, sender=sender, id="i", features=None, element=True, wants_ack=True)


def inside(beat: Heartbeat) -> Heartbeat:
    beat.handle(Online(jid=ME), 0.0)
    beat.handle(InRoom(room=ROOM, nick="node7"), 0.0)
    return beat


def comes(beat: Heartbeat, nick: str, jid: str | None, *, available: bool = True) -> None:
    beat.handle(Occupied(room=ROOM, nick=nick, jid=jid, available=available), 0.0)


def refused(actions: Sequence[Action]) -> str:
    """The reason why nothing is answered."""
    (ignored,) = actions
    assert isinstance(ignored, Ignore)
    return ignored.reason


def accepted(actions: Sequence[Action]) -> bool:
    """Whether it will be answered."""
    return not any(isinstance(action, Ignore) for action in actions)


class TestItsRoom:
    def test_it_enters_under_its_nick_as_soon_as_it_is_online(self) -> None:
        assert heartbeat().handle(Online(jid=ME), 0.0) == [Perform(effect=Join(room=ROOM, nick="node7"))]

    def test_who_keeps_the_rooms_enters_when_his_own_is_ready(self) -> None:
        settings = HeartbeatSettings(room=lambda _: ROOM, owner=OWNER, allow=People.of(BOSS), keeps=True)
        beat = Heartbeat(settings, random=lambda: 0.5)
        assert beat.handle(Online(jid=ME), 0.0) == []
        other, own = (Prepare(room=room, nick="x") for room in ("lounge@conference.example.org", ROOM))
        assert beat.handle(Finished(effect=other, result={}), 1.0) == []
        assert beat.handle(Finished(effect=own, result=RoomRefused("timeout", "")), 1.0) == []
        entered = [Perform(effect=Join(room=ROOM, nick="node7"))]
        assert beat.handle(Finished(effect=own, result={}), 2.0) == entered

    def test_inside_it_wants_nothing_more(self) -> None:
        assert inside(heartbeat()).wakeup() is None

    def test_a_room_that_does_not_answer_is_tried_again(self) -> None:
        beat = heartbeat()
        beat.handle(Online(jid=ME), 0.0)
        when = beat.wakeup()
        assert when is not None
        assert when >= ENTER_LIMIT
        assert beat.handle(Tick(), when - 1) == []
        assert beat.handle(Tick(), when) == [Perform(effect=Join(room=ROOM, nick="node7"))]

    def test_a_nick_that_is_taken_is_followed_by_the_hash(self) -> None:
        beat = heartbeat()
        beat.handle(Online(jid=ME), 0.0)
        taken = OutOfRoom(room=ROOM, condition="conflict")
        assert beat.handle(taken, 0.0) == [Perform(effect=Join(room=ROOM, nick=unique_nick(ME)))]
        assert beat.handle(taken, 0.0) == []  # that one, too: later
        assert beat.wakeup() is not None

    def test_who_is_no_member_shows_himself_to_the_owner_and_tries_again_soon(self) -> None:
        beat = heartbeat()
        beat.handle(Online(jid=ME), 0.0)
        actions = beat.handle(OutOfRoom(room=ROOM, condition="registration-required"), 10.0)
        assert actions == [Perform(effect=Announce(to=OWNER))]
        assert beat.wakeup() == 10.0 + ADMISSION + 0.5
        assert beat.handle(Tick(), 13.0) == [Perform(effect=Join(room=ROOM, nick="node7"))]

    def test_after_a_cut_the_transport_enters_it_and_only_silence_is_answered(self) -> None:
        beat = inside(heartbeat())
        beat.handle(Offline(reason="cut"), 1.0)
        assert beat.handle(Online(jid=ME), 2.0) == []
        when = beat.wakeup()
        assert when is not None
        assert beat.handle(Tick(), when) == [Perform(effect=Join(room=ROOM, nick="node7"))]

    def test_waits_grow_and_are_bounded(self) -> None:
        beat = heartbeat()
        beat.handle(Online(jid=ME), 0.0)
        waits = []
        for _ in range(20):
            beat.handle(OutOfRoom(room=ROOM, condition="service-unavailable"), 0.0)
            waits.append(beat.wakeup())
        assert waits == sorted(waits)
        assert waits[-1] == ADMISSION + 300.0

    def test_another_room_does_not_concern_it(self) -> None:
        beat = inside(heartbeat())
        assert beat.handle(OutOfRoom(room="other@conference.example.org", condition="removed"), 0.0) == []
        assert beat.wakeup() is None

    def test_without_a_session_nothing_is_tried(self) -> None:
        beat = heartbeat()
        beat.handle(Online(jid=ME), 0.0)
        beat.handle(Offline(reason="cut"), 1.0)
        assert beat.wakeup() is None

    def test_without_a_room_it_answers_direct_messages(self) -> None:
        beat = heartbeat(room=None)
        assert beat.handle(Online(jid=ME), 0.0) == []
        assert beat.handle(asked(Ping(), f"{BOSS}/hb"), 0.0) == [Send(to=f"{BOSS}/hb", command=Pong())]


class TestWhoGetsAnAnswer:
    def test_whom_the_settings_allow(self) -> None:
        beat = inside(heartbeat(BOSS, "ops.example.org"))
        for jid in (f"{BOSS}/hb", "Boss@Example.org/hb", "anyone@ops.example.org/x"):
            assert beat.handle(asked(Ping(), jid), 0.0) == [Send(to=jid, command=Pong())]

    @pytest.mark.parametrize("command", [Ping(), GetStatus(component="systemLoad")])
    def test_nobody_else(self, command: Command) -> None:
        beat = inside(heartbeat())
        assert refused(beat.handle(asked(command, "stranger@example.org/x"), 0.0)) == "not-allowed"

    def test_an_occupant_by_his_real_jid(self) -> None:
        beat = inside(heartbeat())
        comes(beat, "boss", f"{BOSS}/hb")
        comes(beat, "other", "stranger@example.org/x")
        assert beat.handle(asked(Ping(), f"{ROOM}/boss"), 0.0) == [Send(to=f"{ROOM}/boss", command=Pong())]
        assert refused(beat.handle(asked(Ping(), f"{ROOM}/other"), 0.0)) == "not-allowed"

    def test_nobody_by_a_nick_or_by_the_room(self) -> None:
        beat = inside(heartbeat(BOSS, ROOM, "conference.example.org"))
        comes(beat, BOSS, None)
        for nick in ("boss", BOSS):
            assert refused(beat.handle(asked(Ping(), f"{ROOM}/{nick}"), 0.0)) == "not-allowed"

    def test_nobody_who_has_left_and_nobody_who_takes_his_nick(self) -> None:
        beat = inside(heartbeat())
        comes(beat, "boss", f"{BOSS}/hb")
        comes(beat, "boss", f"{BOSS}/hb", available=False)
        assert refused(beat.handle(asked(Ping(), f"{ROOM}/boss"), 0.0)) == "not-allowed"
        comes(beat, "boss", "stranger@example.org/x")
        assert refused(beat.handle(asked(Ping(), f"{ROOM}/boss"), 0.0)) == "not-allowed"

    def test_who_was_inside_before_a_cut_must_be_told_of_anew(self) -> None:
        beat = inside(heartbeat())
        comes(beat, "boss", f"{BOSS}/hb")
        beat.handle(Offline(reason="cut"), 0.0)
        inside(beat)
        assert refused(beat.handle(asked(Ping(), f"{ROOM}/boss"), 0.0)) == "not-allowed"

    def test_occupants_that_are_remembered_are_bounded(self) -> None:
        beat = inside(heartbeat("example.org"))
        for number in range(MOST_MODERATORS + 1):
            comes(beat, str(number), f"{number}@example.org/x")
        assert refused(beat.handle(asked(Ping(), f"{ROOM}/0"), 0.0)) == "not-allowed"
        assert accepted(beat.handle(asked(Ping(), f"{ROOM}/1"), 0.0))


class TestStatuses:
    def test_a_status_is_read_and_then_told(self) -> None:
        beat = inside(heartbeat())
        question = asked(GetStatus(component="systemLoad"), f"{BOSS}/hb")
        (perform,) = beat.handle(question, 0.0)
        assert perform == Perform(effect=Gather(status="systemLoad"))
        done = Finished(effect=Gather(status="systemLoad"), result="1 2 3")
        answer = HaveStatus(component="systemLoad", status="1 2 3")
        assert beat.handle(done, 0.0) == [Send(to=f"{BOSS}/hb", command=answer)]

    def test_who_asks_meanwhile_gets_the_same_answer(self) -> None:
        beat = inside(heartbeat())
        beat.handle(asked(GetStatus(component="systemLoad"), f"{BOSS}/one"), 0.0)
        assert beat.handle(asked(GetStatus(component="systemLoad"), f"{BOSS}/two"), 0.0) == []
        told = beat.handle(Finished(effect=Gather(status="systemLoad"), result="1 2 3"), 0.0)
        assert [send.to for send in told if isinstance(send, Send)] == [f"{BOSS}/one", f"{BOSS}/two"]

    def test_what_cannot_be_read_is_not_told(self, caplog: pytest.LogCaptureFixture) -> None:
        beat = inside(heartbeat())
        beat.handle(asked(GetStatus(component="diskUsage"), f"{BOSS}/hb"), 0.0)
        done = Finished(effect=Gather(status="diskUsage"), result=OSError("no"))
        assert beat.handle(done, 0.0) == []
        assert "diskUsage cannot be read" in caplog.text
        assert len(beat.handle(asked(GetStatus(component="diskUsage"), f"{BOSS}/hb"), 0.0)) == 1  # anew

    def test_a_status_that_is_none_is_dropped(self) -> None:
        beat = inside(heartbeat())
        assert refused(beat.handle(asked(GetStatus(component="mood"), f"{BOSS}/hb"), 0.0)) == "no-such-status"

    def test_an_account_gets_so_many_at_once_and_then_one_a_second(self) -> None:
        beat = inside(heartbeat("example.org"))
        question = asked(GetStatus(component="systemLoad"), f"{BOSS}/hb")
        taken = [accepted(beat.handle(question, 0.0)) for _ in range(STATUSES_AT_ONCE + 3)]
        assert taken == [True] * STATUSES_AT_ONCE + [False] * 3
        assert refused(beat.handle(question, 0.5)) == "too-often"
        assert accepted(beat.handle(question, 1.0))
        assert refused(beat.handle(question, 1.0)) == "too-often"
        other = asked(GetStatus(component="memoryUsage"), "other@example.org/x")
        assert len(beat.handle(other, 1.0)) == 1
        assert [accepted(beat.handle(question, 60.0)) for _ in range(STATUSES_AT_ONCE)] == [
            True
        ] * STATUSES_AT_ONCE
