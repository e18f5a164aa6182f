from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.files.digest import format_digest, parse_digest

# RFC 9530, appendix B.1: the SHA-256 of {"hello": "world"} and a line feed
RFC_VALUE = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
RFC_HEX = "44aff4ab2d7c3250525675a08f0cfa9591168cffe51791c5f5bbc417c15a6c38"


def test_the_example_of_the_rfc_goes_both_ways() -> None:
    assert format_digest(RFC_HEX) == RFC_VALUE
    assert parse_digest(RFC_VALUE) == RFC_HEX


def test_other_algorithms_are_passed_over() -> None:
    assert parse_digest("") is None
    assert parse_digest("sha-512=:AAAA:") is None
    assert parse_digest(f"md5=:AAAA:, {RFC_VALUE}") == RFC_HEX


@pytest.mark.parametrize(
    "value", ["sha-256", "sha-256=", "sha-256=::", "sha-256=:AAAA:", "sha-256=:*:", RFC_VALUE[:-1]]
)
def test_what_is_no_sha_256_is_an_error(value: str) -> None:
    with pytest.raises(ValueError, match="expected sha-256="):
        parse_digest(value)


@given(st.text())
def test_nothing_from_the_wire_raises_anything_else(value: str) -> None:
    with suppress(ValueError):
        assert len(parse_digest(f"sha-256=:{value}:") or "") in (0, 64)
