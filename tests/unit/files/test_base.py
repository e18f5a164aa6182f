from __future__ import annotations

import pytest

from copilot.files.base import public_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host:8443/j/in?e=1&s=secret#x", "https://host:8443/j/in"),
        ("https://user:password@host/j/in", "https://host/j/in"),
        ("file:///shared/j/in", "file:///shared/j/in"),
        ("https://host/a\x1b[31m", "'https://host/a\\x1b[31m'"),
        ("https://[broken?s=secret", "(a URL that cannot be parsed)"),
    ],
)
def test_a_text_shows_no_secret_part_of_a_url(url: str, shown: str) -> None:
    assert public_url(url) == shown
