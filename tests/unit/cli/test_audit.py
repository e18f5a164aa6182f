"""What `copilot audit --of` means."""

from __future__ import annotations

import pytest

from copilot.cli.audit import _named


@pytest.mark.parametrize(
    ("target", "name", "is_meant"),
    [
        ("sim-7 sim-8 and 980 more", "sim-8", True),
        ("sim[10:20]", "sim", True),
        ("sim[10:20]", "sim[10:20]", True),
        ("anna@x.org (operator)", "anna@x.org", True),
        ("sim-70", "sim-7", False),
        ("sim", "sim[1]", False),
    ],
)
def test_entries_about_a_job_an_array_or_an_account_are_found(target: str, name: str, is_meant: bool) -> None:
    assert (name in _named(target)) is is_meant
