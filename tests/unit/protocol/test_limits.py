"""How much one account may say, and that the tables behind it have an end."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from copilot.protocol.endpoint import Endpoint
from copilot.protocol.limits import (
    ACCOUNTS_REMEMBERED,
    ALL_STRANGERS,
    NO_ROOM,
    OVER_LIMIT,
    STRANGER,
    STRANGER_OVER_LIMIT,
    STRANGERS_REMEMBERED,
    Rate,
    Throttle,
    Tier,
)
from copilot.protocol.rules import Role

TIERS = {"jm@x": Tier.SERVICE, "agent@x": Tier.KNOWN, "other@x": Tier.KNOWN, "room@x": Tier.KNOWN}
KNOWN = Rate(per_second=10.0, burst=5.0)


def throttle() -> Throttle:
    return Throttle(lambda jid: TIERS.get(jid, Tier.STRANGER), KNOWN)


def test_a_burst_is_read_and_then_so_many_a_second() -> None:
    limits = throttle()
    assert [limits.refuses("agent@x/a", 0.0) for _ in range(7)] == [None] * 5 + [OVER_LIMIT] * 2
    assert [limits.refuses("agent@x/a", 0.1) for _ in range(2)] == [None, OVER_LIMIT]
    assert [limits.refuses("agent@x/a", 9.0) for _ in range(6)] == [None] * 5 + [OVER_LIMIT]


def test_sessions_of_an_account_share_its_limit_and_others_have_their_own() -> None:
    limits = throttle()
    for number in range(5):
        assert limits.refuses(f"Agent@x/{number}", 0.0) is None
    assert limits.refuses("agent@x/another", 0.0) == OVER_LIMIT
    assert limits.refuses("other@x/a", 0.0) is None


def test_a_service_has_no_limit() -> None:
    limits = throttle()
    assert all(limits.refuses("jm@x/one", 0.0) is None for _ in range(1000))
    assert len(limits) == 0


def test_who_is_in_a_room_counts_by_himself() -> None:
    limits = throttle()
    for nick in ("a", "b"):
        said = [limits.refuses(f"room@x/{nick}", 0.0, in_room=True) for _ in range(6)]
        assert said == [None] * 5 + [OVER_LIMIT]


def test_strangers_have_little_and_all_of_them_together_not_much_more() -> None:
    limits = throttle()
    alone = [limits.refuses("s@x/a", 1.0) for _ in range(1000)]
    assert alone.count(None) == STRANGER.burst
    crowd = [limits.refuses(f"s{number}@x/a", 1.0) for number in range(1000)]
    assert crowd.count(None) == ALL_STRANGERS.burst - STRANGER.burst
    assert crowd[-1] == STRANGER_OVER_LIMIT
    assert limits.refuses("agent@x/a", 1.0) is None


def test_a_million_names_fill_no_table_and_strangers_push_out_nobody_else() -> None:
    limits = throttle()
    while limits.refuses("agent@x/a", 0.0) is None:
        pass
    for number in range(3 * ACCOUNTS_REMEMBERED):
        limits.refuses(f"s{number}@x/a", 0.0)
    assert len(limits) == STRANGERS_REMEMBERED + 1
    assert limits.refuses("agent@x/a", 0.0) == OVER_LIMIT


@given(st.lists(st.tuples(st.sampled_from(["agent@x/a", "s@y/b"]), st.floats(0, 100))))
def test_whatever_the_clock_does_nobody_gets_more_than_the_burst_and_what_time_gave(
    asked: list[tuple[str, float]],
) -> None:
    limits, read = throttle(), 0
    for sender, now in asked:
        read += limits.refuses(sender, now) is None and sender == "agent@x/a"
    climbed = sum(max(0.0, b - a) for (_, a), (_, b) in itertools.pairwise(asked))
    assert read <= KNOWN.burst + KNOWN.per_second * climbed + 1e-6


def test_the_endpoint_counts_what_is_not_read_by_reason() -> None:
    end = Endpoint(Role.JOB_MANAGER, new_id=str, random=float, throttle=throttle())
    read = [end.lets("agent@x/a", 0.0) for _ in range(8)]
    assert read == [True] * 5 + [False] * 3
    assert [end.lets("s@y/a", 0.0) for _ in range(11)][-1] is False
    end.lost()
    assert end.counts.dropped == {OVER_LIMIT: 3, STRANGER_OVER_LIMIT: 1, NO_ROOM: 1}
