"""The job manager's part: rooms are made, components and askers let in."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from copilot.errors import RoomRefused
from copilot.heartbeat.effects import Affiliate, Prepare
from copilot.heartbeat.keeper import MOST_UNDER_WAY, RoomKeeper
from copilot.heartbeat.rooms import Rooms
from copilot.protocol.people import People
from copilot.runtime.component import Actions, Came, Finished, Offline, Online, Perform, Tick
from copilot.transport.rooms import Affiliation

ROOMS = Rooms(name="lounge", server="conference.example.org", shards=3)
ME = "jm@example.org/alpha"
BOSS = "boss@ops.example.org"
MONITOR = "mon@example.org"
AGENT = "a7@example.org"
HOME = ROOMS.of_agent(AGENT)


def keeper() -> RoomKeeper:
    return RoomKeeper(
        ROOMS,
        members=People.of("example.org", MONITOR),
        allow=People.of(BOSS, "admins.example.org"),
        random=lambda: 0.5,
    )


def prepared(keep: RoomKeeper, room: str, known: Mapping[str, Affiliation]) -> Actions:
    effect = Prepare(room=room, nick="x")
    actions = keep.handle(Finished(effect=effect, result=dict(known)), 0.0)
    assert not hasattr(actions, "__await__")
    return actions  # type: ignore[return-value]


def ready() -> RoomKeeper:
    """One whose rooms are prepared, and know everybody who is named."""
    keep = keeper()
    keep.handle(Online(jid=ME), 0.0)
    for room in ROOMS.all:
        known = {BOSS: Affiliation.ADMIN}
        if room in (ROOMS.main, ROOMS.of_agent(MONITOR)):
            known[MONITOR] = Affiliation.MEMBER
        assert prepared(keep, room, known) == []
    return keep


def affiliates(actions: object) -> set[tuple[str, str, Affiliation]]:
    assert isinstance(actions, list)
    effects = [action.effect for action in actions if isinstance(action, Perform)]
    return {(one.room, one.jid, one.affiliation) for one in effects if isinstance(one, Affiliate)}


def test_all_rooms_are_prepared_after_each_log_in() -> None:
    keep = keeper()
    for _ in range(2):
        actions = keep.handle(Online(jid=ME), 0.0)
        assert [action.effect.room for action in actions] == list(ROOMS.all)  # type: ignore[union-attr]


def test_whom_the_settings_name_is_let_in_at_once() -> None:
    keep = keeper()
    keep.handle(Online(jid=ME), 0.0)
    assert affiliates(prepared(keep, ROOMS.main, {})) == {
        (ROOMS.main, BOSS, Affiliation.ADMIN),
        (ROOMS.main, MONITOR, Affiliation.MEMBER),
    }
    other = next(room for room in ROOMS.all[1:] if room != ROOMS.of_agent(MONITOR))
    assert affiliates(prepared(keep, other, {})) == {(other, BOSS, Affiliation.ADMIN)}


def test_who_may_not_be_there_any_more_is_thrown_out() -> None:
    keep = keeper()
    keep.handle(Online(jid=ME), 0.0)
    known = {
        BOSS: Affiliation.ADMIN,
        "old@elsewhere.org": Affiliation.MEMBER,
        "fired@elsewhere.org": Affiliation.ADMIN,
        AGENT: Affiliation.ADMIN,
    }
    assert affiliates(prepared(keep, HOME, known)) - {(HOME, MONITOR, Affiliation.MEMBER)} == {
        (HOME, "old@elsewhere.org", Affiliation.NONE),
        (HOME, "fired@elsewhere.org", Affiliation.NONE),
        (HOME, AGENT, Affiliation.MEMBER),
    }


def test_an_agent_that_shows_itself_becomes_a_member_of_its_shard_once() -> None:
    keep = ready()
    assert affiliates(keep.handle(Came(jid=f"{AGENT}/one"), 0.0)) == {(HOME, AGENT, Affiliation.MEMBER)}
    assert keep.handle(Came(jid=f"{AGENT}/one"), 0.0) == []  # under way
    done = Affiliate(room=HOME, jid=AGENT, affiliation=Affiliation.MEMBER)
    keep.handle(Finished(effect=done, result=None), 0.0)
    assert keep.handle(Came(jid=f"{AGENT}/two"), 0.0) == []


def test_what_failed_is_done_when_it_shows_itself_again() -> None:
    keep = ready()
    keep.handle(Came(jid=f"{AGENT}/one"), 0.0)
    done = Affiliate(room=HOME, jid=AGENT, affiliation=Affiliation.MEMBER)
    keep.handle(Finished(effect=done, result=RoomRefused("timeout", "no answer")), 0.0)
    assert affiliates(keep.handle(Came(jid=f"{AGENT}/one"), 0.0)) == {(HOME, AGENT, Affiliation.MEMBER)}


def test_an_asker_by_his_domain_becomes_an_admin_of_all_rooms() -> None:
    who = "new@admins.example.org"
    assert affiliates(ready().handle(Came(jid=f"{who}/hb"), 0.0)) == {
        (room, who, Affiliation.ADMIN) for room in ROOMS.all
    }


@pytest.mark.parametrize("jid", ["stranger@elsewhere.org/x", ME, "jm@example.org/beta", "example.org"])
def test_strangers_get_nothing_and_our_own_account_has_all(jid: str) -> None:
    assert ready().handle(Came(jid=jid), 0.0) == []


def test_nobody_is_let_into_a_room_that_is_not_ready() -> None:
    keep = keeper()
    keep.handle(Online(jid=ME), 0.0)
    assert keep.handle(Came(jid=f"{AGENT}/one"), 0.0) == []


def test_admissions_under_way_are_bounded() -> None:
    keep = ready()
    for number in range(10_000):
        keep.handle(Came(jid=f"agent-{number}@example.org/x"), 0.0)
    assert [len(room.under_way) for room in keep._rooms.values()] == [0, *[MOST_UNDER_WAY] * 3]


def test_a_room_that_cannot_be_made_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    keep = keeper()
    keep.handle(Online(jid=ME), 0.0)
    effect = Prepare(room=ROOMS.main, nick="x")
    keep.handle(Finished(effect=effect, result=RoomRefused("forbidden", "no")), 10.0)
    assert "somebody else owns it" in caplog.text
    assert keep.wakeup() == 11.5
    assert keep.handle(Tick(), 11.0) == []
    (again,) = keep.handle(Tick(), 11.5)  # type: ignore[misc]
    assert again.effect.room == ROOMS.main
    assert keep.wakeup() is None
    keep.handle(Finished(effect=effect, result=RoomRefused("forbidden", "no")), 12.0)
    keep.handle(Offline(reason="cut"), 12.0)
    assert keep.wakeup() is None


def test_two_instances_that_make_a_room_at_once_are_no_trouble_unless_it_lasts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    keep = keeper()
    keep.handle(Online(jid=ME), 0.0)
    effect = Prepare(room=ROOMS.all[1], nick="x")
    refused = RoomRefused("item-not-found", "there is no such room")
    keep.handle(Finished(effect=effect, result=refused), 0.0)
    assert caplog.messages == []
    keep.handle(Finished(effect=effect, result=refused), 9.0)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
