"""Sealed messages as stanzas: there and back, in either carriage; what else stands in them counts for nothing."""

from __future__ import annotations

from dataclasses import replace
from xml.etree.ElementTree import fromstring

from copilot.protocol.envelope import Envelope
from copilot.transport.stanza import decode, encode

VALUES = {"suite": "v2", "kid": "0" * 16, "session": "s", "key": "AA==", "sig": "AA==", "time": "1"}


def read(text: str) -> Envelope:
    xml = fromstring(text.replace("<message ", "<message xmlns='jabber:client' from='a@x/1' ", 1))
    return decode(xml, own="jm@x/one", now=0.0)


def test_a_sealed_element_goes_there_and_back() -> None:
    said = Envelope(to="jm@x", id="m1", sealed={**VALUES, "sealed": "abc+/="})
    assert read(encode(said)) == replace(said, sender="a@x/1")
    assert "type='normal'" in encode(said)


def test_a_sealed_body_goes_there_and_back() -> None:
    said = Envelope(to="jm@x", id="m1", sealed_body={"session_key": "k\nk", "info": "i\n"})
    assert read(encode(said)) == replace(said, sender="a@x/1")


def test_without_an_id_there_is_none() -> None:
    said = Envelope(to="jm@x", sealed={"suite": "v2", "session": "s", "sealed": "abc"})
    assert read(encode(said)).id is None


def test_what_stands_in_clear_beside_it_is_not_read() -> None:
    text = (
        "<message to='jm@x' id='m' ack='a' noack='1'><body><info command='x'/></body>"
        "<copilot xmlns='urn:copilot:1' suite='v2' sealed='abc' ack='b' noack='1' other='o'>"
        "<info command='y'/></copilot></message>"
    )
    found = read(text)
    assert (found.body, found.element, found.acks, found.noack) == (None, None, (), False)
    assert found.sealed == {"suite": "v2", "sealed": "abc"}


def test_a_stanza_error_is_not_taken_for_a_sealed_message() -> None:
    text = (
        "<message to='jm@x' id='m' type='error'><copilot xmlns='urn:copilot:1' sealed='abc'/>"
        "<error><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    )
    assert (read(text).sealed, read(text).error) == (None, "gone")
