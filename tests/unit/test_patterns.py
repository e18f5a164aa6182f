"""Patterns are compiled when they are first used, and then are what `re.compile` makes."""

from __future__ import annotations

import copy
import pickle
import re

import pytest

from copilot.patterns import pattern


def test_nothing_is_compiled_before_it_is_used() -> None:
    wrong = pattern("(")
    assert repr(wrong) == "pattern('(')"
    with pytest.raises(re.error, match="unterminated subpattern"):
        wrong.match("x")


def test_it_has_all_that_a_compiled_one_has() -> None:
    ours, theirs = (
        pattern(r"(?P<name>[a-z]+)-", re.IGNORECASE),
        re.compile(r"(?P<name>[a-z]+)-", re.IGNORECASE),
    )
    for text in ("Ab-c", "", "1", "a-b-"):
        for _ in range(2):
            assert str(ours.match(text)) == str(theirs.match(text))
            assert str(ours.fullmatch(text)) == str(theirs.fullmatch(text))
            assert ours.findall(text) == theirs.findall(text)
            assert ours.sub("x", text) == theirs.sub("x", text)
    assert (ours.pattern, ours.flags, ours.groupindex) == (theirs.pattern, theirs.flags, theirs.groupindex)
    with pytest.raises(AttributeError, match="nothing"):
        _ = ours.nothing  # type: ignore[attr-defined]  # that there is none is the point


def test_it_can_be_copied() -> None:
    for one in (
        copy.copy(pattern("a")),
        copy.deepcopy(pattern("a")),
        pickle.loads(pickle.dumps(pattern("a"))),
    ):
        assert one.fullmatch("a")
