"""Who may ask: accounts and domains, compared as XMPP servers do."""

import pytest

from copilot.protocol.people import People


@pytest.mark.parametrize(
    ("jid", "allow"),
    [
        ("op@example.org", ["op@example.org"]),
        ("op@example.org/phone", ["op@example.org"]),
        ("OP@Example.ORG/Phone", ["op@example.org"]),
        ("op@example.org", ["OP@EXAMPLE.ORG"]),
        ("anybody@example.org/x", ["example.org"]),
        ("u\u0308ser@example.org", ["\u00fcser@example.org"]),
        ("b@x", ["a@x", "b@x"]),
    ],
)
def test_these_may(jid: str, allow: list[str]) -> None:
    assert People.of(*allow).include(jid)


@pytest.mark.parametrize(
    ("jid", "allow"),
    [
        ("op@example.org", []),
        ("op@example.org", ["other@example.org"]),
        ("op@example.org.evil.org", ["example.org"]),
        ("op@sub.example.org", ["example.org"]),
        ("example.org", ["example.org"]),
        ("example.org/op@example.org", ["op@example.org"]),
        ("evil@evil.org/op@example.org", ["op@example.org", "example.org"]),
        ("room@conference.example.org/op", ["example.org"]),
        ("@example.org", ["example.org"]),
        ("op@", [""]),
        ("", [""]),
    ],
)
def test_these_may_not(jid: str, allow: list[str]) -> None:
    assert not People.of(*allow).include(jid)
