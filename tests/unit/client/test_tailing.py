"""Reading what a running job prints: what is told when, and when it is over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from copilot.client import tailing
from copilot.client.tailing import CaughtUp, Ended, Printed, Told, tail
from copilot.errors import UnknownJob
from copilot.job import State
from copilot.store.watched import Chunk, Seen

RUNNING = State.RUNNING


def chunk(offset: int, data: bytes, attempt: int = 1) -> Chunk:
    return Chunk(attempt=attempt, offset=offset, data=data)


def seen(*chunks: Chunk, size: int = 0, state: State = RUNNING, attempt: int = 1, heard: int = 1) -> Seen:
    return Seen(state=state, attempt=attempt, heard_attempt=heard, size=size, chunks=chunks)


async def told(
    answers: Sequence[Seen], *, follow: bool, times: Iterator[float] | None = None
) -> tuple[list[object], list[tuple[int, int]]]:
    """What a reader says, and how far it had read at each question."""
    left, asked = list(answers), list[tuple[int, int]]()

    async def look(attempt: int, offset: int) -> Seen:
        asked.append((attempt, offset))
        return left.pop(0)

    clock = times or iter(float, 1.0)
    found = [one async for one in tail(look, "j", follow=follow, poll=0.0, clock=lambda: next(clock))]
    return found, asked


async def test_without_follow_it_reads_what_there_was_when_it_came() -> None:
    answers = [seen(heard=0), seen(chunk(0, b"ab"), size=4), seen(chunk(2, b"cdef"), size=6)]
    found, asked = await told(answers, follow=False)
    assert found == [Printed(data=b"ab", again=True), Printed(data=b"cdef", again=False), CaughtUp()]
    assert asked == [(0, 0), (0, 0), (1, 2)]


async def test_a_job_that_has_printed_nothing_is_told_at_once() -> None:
    assert (await told([seen()], follow=False))[0] == [CaughtUp()]


async def test_it_follows_to_the_end() -> None:
    answers = [
        seen(chunk(0, b"a"), size=1),
        seen(size=1),
        seen(chunk(0, b"a"), chunk(1, b"b"), size=2),  # a copy, and what is new
        seen(state=State.DONE, size=2),
    ]
    found, _ = await told(answers, follow=True)
    assert found == [
        Printed(data=b"a", again=True),
        CaughtUp(),
        Printed(data=b"b", again=False),
        Ended(state=State.DONE, attempt=1, offset=2),
    ]


async def test_what_was_left_out_and_that_another_attempt_begins_is_told() -> None:
    answers = [
        seen(chunk(0, b"a"), size=1),
        seen(chunk(1025, b"b"), size=1026),
        seen(state=State.WAITING, heard=1),
        seen(chunk(0, b"c", attempt=2), size=1, attempt=2, heard=2),
        seen(state=State.FAILED, attempt=2),
    ]
    found, _ = await told(answers, follow=True)
    assert [one for one in found if isinstance(one, Told)] == [
        Told(text="1 KiB were left out"),
        Told(text="attempt 2 begins"),
    ]
    assert found[-1] == Ended(state=State.FAILED, attempt=2, offset=1)


async def test_of_a_job_that_is_over_nothing_but_that_is_told() -> None:
    found, asked = await told([seen(chunk(5, b"x"), state=State.DONE)], follow=True)
    assert found == [Ended(state=State.DONE, attempt=0, offset=0)]
    assert asked == [(0, 0)]


@pytest.mark.parametrize("follow", [True, False])
async def test_an_agent_that_shows_nothing_says_why(follow: bool) -> None:
    answer = Seen(state=RUNNING, attempt=1, heard_attempt=1, note="too old")
    assert (await told([answer], follow=follow))[0] == [Told(text="too old")]


async def test_a_silent_agent_is_told_once() -> None:
    times = iter((0.0, 1.0, 11.0, 12.0, 13.0))
    silent = seen(heard=0)
    found, _ = await told([silent, silent, silent, seen(state=State.DONE)], follow=True, times=times)
    assert found == [
        Told(text="its agent has not answered for 11 s"),
        Ended(state=State.DONE, attempt=0, offset=0),
    ]
    found, _ = await told([silent], follow=False, times=iter((0.0, 99.0)))
    assert found == [Told(text="its agent has not answered for 99 s")]


async def test_who_does_not_follow_does_not_wait_for_a_job_to_begin() -> None:
    found, _ = await told([seen(state=State.WAITING, attempt=0, heard=0)], follow=False)
    assert found == [Told(text="the job is waiting: it prints nothing yet")]


async def test_a_job_that_is_not_known_is_an_error() -> None:
    with pytest.raises(UnknownJob, match="job j is not known"):
        await told([Seen(state=None)], follow=True)


def test_polls_are_well_below_the_time_that_a_wish_lives() -> None:
    assert tailing.POLL < tailing.POLL_AFAR < 1.0
