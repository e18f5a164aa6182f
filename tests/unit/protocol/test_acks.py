"""When a message is sent again, when it is given up, and what a copy is."""

from __future__ import annotations

from itertools import pairwise

from copilot.protocol import acks
from copilot.protocol.acks import Outbox, Pending, Seen, Sight
from copilot.protocol.commands import Ping


def pending(
    message_id: str = "m1", *, void_at: float = 1e9, due: float = 0.0, legacy: bool = False
) -> Pending:
    return Pending(id=message_id, to="jm@x/r", command=Ping(), void_at=void_at, due=due, legacy=legacy)


def sends(outbox: Outbox, until: float) -> list[float]:
    """The times at which the outbox wants to send, up to `until`."""
    times: list[float] = []
    while (due := outbox.next_due()) is not None and due <= until:
        send, _ = outbox.take_due(due)
        times.extend(due for _ in send)
    return times


def test_it_is_sent_again_after_10_s_then_with_growing_random_waits() -> None:
    outbox = Outbox(lambda: 1.0)
    outbox.add(pending())
    assert sends(outbox, 1000.0) == [0.0, 10.0, 30.0, 70.0, 150.0, 310.0, 630.0]


def test_the_wait_is_never_above_ten_minutes_nor_below_ten_seconds() -> None:
    for random in (0.0, 1.0):
        outbox = Outbox(lambda random=random: random)
        outbox.add(pending())
        times = sends(outbox, 10_000.0)
        waits = [later - earlier for earlier, later in pairwise(times)]
        assert min(waits) == acks.FIRST_RESEND
        assert max(waits) <= acks.LONGEST_RESEND


def test_an_old_peer_gets_three_copies_and_then_it_is_void() -> None:
    outbox = Outbox(lambda: 0.0)
    outbox.add(pending(legacy=True))
    assert len(sends(outbox, 1000.0)) == 1 + acks.RESENDS_TO_2011
    assert len(outbox) == 0


def test_it_is_void_at_its_time_even_if_never_sent() -> None:
    outbox = Outbox(lambda: 0.0)
    outbox.add(pending(void_at=5.0, due=7.0))
    assert outbox.next_due() == 5.0
    send, void = outbox.take_due(5.0)
    assert (send, [item.id for item in void]) == ([], ["m1"])
    assert outbox.next_due() is None


def test_only_the_account_it_went_to_can_settle_it() -> None:
    outbox = Outbox(lambda: 0.0)
    outbox.add(pending())
    assert outbox.settle("thief@x/r", "m1") is None
    assert outbox.settle("JM@x/other", "m1") is not None
    assert outbox.settle("jm@x/r", "m1") is None
    assert outbox.next_due() is None


def test_after_a_reconnect_everything_is_due_at_once() -> None:
    outbox = Outbox(lambda: 0.0)
    outbox.add(pending("m1"))
    outbox.add(pending("m2"))
    outbox.take_due(0.0)
    outbox.due_now()
    send, _ = outbox.take_due(1.0)
    assert sorted(item.id for item in send) == ["m1", "m2"]
    assert outbox.next_due() == 11.0


def test_what_the_transport_did_not_take_is_due_when_it_was_put_off_to() -> None:
    outbox = Outbox(lambda: 0.0)
    outbox.add(pending())
    outbox.take_due(0.0)
    outbox.postpone("m1", 0.5)
    outbox.postpone("unknown", 0.1)
    assert outbox.next_due() == 0.5
    assert [item.id for item in outbox] == ["m1"]


def test_a_copy_is_known_by_account_and_id() -> None:
    seen = Seen()
    assert seen.look("a@x/1", "m", 0.0) is Sight.NEW
    assert seen.look("a@x/2", "m", 1.0) is Sight.IN_WORK
    assert seen.look("b@x/1", "m", 1.0) is Sight.NEW
    seen.answered("a@x/1", "m", 2.0)
    assert seen.look("a@x/1", "m", 3.0) is Sight.ANSWERED


def test_what_could_not_be_worked_on_counts_as_new_again() -> None:
    seen = Seen()
    seen.look("a@x/1", "m", 0.0)
    seen.forget("a@x/1", "m")
    assert seen.look("a@x/1", "m", 1.0) is Sight.NEW


def test_memory_is_bounded_by_time_and_count() -> None:
    seen = Seen()
    for number in range(acks.REMEMBERED_COUNT + 10):
        seen.look("a@x", f"m{number}", 0.0)
    assert seen.look("a@x", "m0", 0.0) is Sight.NEW
    assert seen.look("a@x", f"m{acks.REMEMBERED_COUNT}", 0.0) is Sight.IN_WORK
    assert seen.look("a@x", f"m{acks.REMEMBERED_COUNT}", acks.REMEMBERED + 1.0) is Sight.NEW
