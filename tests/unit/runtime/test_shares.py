"""Nobody takes all places."""

from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from copilot.protocol.commands import WantGetJob
from copilot.protocol.events import Received
from copilot.runtime.shares import ALL_WAITING, AT_WORK, WAITING, Shares, Turn

_ids = itertools.count()


def message(sender: str) -> Received:
    command = WantGetJob(agent_host="h", jdl="[]")
    return Received(
        command=command, sender=sender, id=str(next(_ids)), features=None, element=True, wants_ack=True
    )


def test_a_sender_has_so_many_at_work_so_many_in_line_and_no_more() -> None:
    shares = Shares()
    turns = Counter(shares.turn(message(f"a@x/{number}")) for number in range(AT_WORK + WAITING + 7))
    assert turns == {Turn.NOW: AT_WORK, Turn.LATER: WAITING, Turn.NEVER: 7}
    assert shares.turn(message("b@x/r")) is Turn.NOW


def test_they_come_in_their_order_and_nothing_is_left_of_them() -> None:
    shares = Shares()
    said = [message("a@x/r") for _ in range(AT_WORK + 3)]
    for one in said:
        shares.turn(one)
    done = []
    at_work = said[:AT_WORK]
    while at_work:
        one = at_work.pop(0)
        done.append(one.id)
        shares.ended(one)
        while shares.ready:
            at_work.append(shares.ready.popleft())
    assert done == [one.id for one in said]
    assert len(shares) == shares.waiting == 0


def test_there_is_an_end_to_all_lines_together() -> None:
    shares = Shares()
    for sender, _ in itertools.product(range(100), range(AT_WORK + WAITING)):
        shares.turn(message(f"{sender}@x/r"))
    assert shares.waiting == ALL_WAITING


@given(st.lists(st.integers(0, 3)))
def test_whatever_comes_and_ends_the_books_agree(moves: list[int]) -> None:
    shares, at_work = Shares(), list[Received]()
    for move in moves:
        if move == 0 and at_work:
            shares.ended(at_work.pop(0))
        elif shares.turn(one := message(f"{move}@x/r")) is Turn.NOW:
            at_work.append(one)
        at_work.extend(shares.ready)
        shares.ready.clear()
        count = Counter(one.sender for one in at_work)
        assert all(number <= AT_WORK for number in count.values())
    while at_work:
        shares.ended(at_work.pop())
        at_work.extend(shares.ready)
        shares.ready.clear()
    assert len(shares) == shares.waiting == 0
