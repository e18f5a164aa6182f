"""Which room is whose, and who is meant by names and domains."""

from __future__ import annotations

from collections import Counter

from copilot.heartbeat.rooms import Rooms
from copilot.protocol.people import People

ROOMS = Rooms(name="lounge", server="conference.example.org", shards=50)


def test_a_room_for_managers_and_one_for_each_shard() -> None:
    assert ROOMS.main == "lounge@conference.example.org"
    assert len(ROOMS.all) == 51
    assert ROOMS.all[:2] == (ROOMS.main, "lounge-0@conference.example.org")


def test_an_agent_has_one_shard_by_its_bare_jid() -> None:
    assert ROOMS.of_agent("a7@example.org/one") == ROOMS.of_agent("A7@example.org/two")
    assert ROOMS.of_agent("a7@example.org") in ROOMS.all


def test_ten_thousand_agents_are_spread_evenly() -> None:
    crowd = Counter(ROOMS.of_agent(f"agent-{number}@example.org") for number in range(10_000))
    assert len(crowd) == 50
    assert max(crowd.values()) < 260


def test_the_number_of_shards_that_somebody_else_has_does_not_matter_to_who_looks() -> None:
    assert all(map(Rooms(name="lounge", server="conference.example.org", shards=1).is_one, ROOMS.all))
    for other in ("lounge-x", "lounge-", "lounge2", "my-lounge-0"):
        assert not ROOMS.is_one(f"{other}@conference.example.org")
    assert not ROOMS.is_one("lounge@conference.example.net")


def test_people_are_accounts_and_all_of_a_domain() -> None:
    people = People.of("Boss@Example.org", "agents.example.org")
    assert people.include("boss@example.org/any")
    assert people.include("a7@agents.example.org")
    assert people.accounts == ["boss@example.org"]
    assert people.names("boss@example.org")
    assert not people.names("a7@agents.example.org")


def test_nobody_else_is_meant() -> None:
    people = People.of("boss@example.org", "agents.example.org")
    strangers = (
        "worker@example.org",
        "boss@example.net",
        "x@sub.agents.example.org",
        "agents.example.org",
        "@agents.example.org",
        "",
    )
    assert not any(map(people.include, strangers))
    assert not People.of().include("boss@example.org")
