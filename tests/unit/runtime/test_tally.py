"""The numbers of messages without effect: told once, and not too often."""

from __future__ import annotations

from copilot.protocol.endpoint import Counts
from copilot.runtime.tally import EVERY, Tally


def test_while_nothing_was_dropped_or_refused_there_is_nothing_to_tell() -> None:
    counts = Counts()
    counts.received["getJob"] += 1
    tally = Tally(counts)
    assert tally.due(5.0) is None
    assert tally.tell() == ""


def test_the_numbers_are_told_some_time_after_the_first_and_then_only_what_is_new() -> None:
    counts = Counts()
    tally = Tally(counts)
    counts.dropped["bad-value"] += 1
    assert tally.due(5.0) == 5.0 + EVERY
    counts.dropped["not-trusted"] += 3
    counts.refused["claim-refused"] += 2
    assert tally.due(500.0) == 5.0 + EVERY
    assert tally.tell() == "dropped 3 not-trusted, 1 bad-value; refused 2 claim-refused"
    assert tally.due(1000.0) is None
    counts.refused["claim-refused"] += 1
    assert tally.due(2000.0) == 2000.0 + EVERY
    assert tally.tell() == "refused 1 claim-refused"
