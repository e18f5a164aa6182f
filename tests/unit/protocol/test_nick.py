"""Nicks: short, stable, and from the full JID alone."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.protocol.nick import nick, unique_nick


@pytest.mark.parametrize("resource", ["alpha", "a", "node7", "A-1", "x" * 16])
def test_a_short_plain_resource_is_the_nick(resource: str) -> None:
    assert nick(f"jm@example.org/{resource}") == resource


@pytest.mark.parametrize("resource", ["", "-a", "x" * 17, "two words", "a/b", "a.b", "caf\u00e9", "alpha\n"])
def test_any_other_is_hashed(resource: str) -> None:
    assert nick(f"jm@example.org/{resource}") == unique_nick(f"jm@example.org/{resource}")


def test_the_hash_is_what_sha256sum_says() -> None:
    assert unique_nick("jm@example.org/one") == "d76f-1b5f-ffc1-26da"


def test_the_account_counts_in_lower_case_and_the_resource_as_it_is() -> None:
    assert unique_nick("JM@Example.org/One") == unique_nick("jm@example.org/One")
    assert unique_nick("jm@example.org/One") != unique_nick("jm@example.org/one")


@given(st.text())
def test_a_nick_never_needs_care(jid: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,18}", nick(jid))
