"""What may come from the server before the parser sees it."""

from __future__ import annotations

import pytest

from copilot.transport.gate import MAX_UNFINISHED_BYTES, Gate

ROOT = b"<stream:stream xmlns='jabber:client' version='1.0'>"


def complaint(stream: bytes, step: int) -> str | None:
    """Of a gate that gets the stream in pieces of `step` bytes."""
    gate = Gate()
    pieces = (gate.complaint(stream[at : at + step]) for at in range(0, len(stream), step))
    return next((found for found in pieces if found), None)


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize(
    "prolog",
    [
        b"",
        b"<?xml version='1.0'?>",
        b'<?xml version="1.0" encoding="UTF-8" ?>\n',
        b"\n<?xml version='1.0' encoding='utf-8'?>",
    ],
)
def test_a_stream_as_servers_begin_it_is_read(prolog: bytes, step: int) -> None:
    assert complaint(prolog + ROOT + b"<!-- whatever comes now -->", step) is None


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize(
    "prolog",
    [
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
        b"<?xml version='1.0'?><!DOCTYPE a SYSTEM 'file:///etc/passwd'>",
        b"<?xml version='1.0'?><!-- a --><!DOCTYPE a>",
        b"<?xml version='1.0' encoding='utf-7'?>",
        b"<?xml version='1.0' encoding='cp037'?>",
        b"<?php echo 1 ?>",
    ],
)
def test_declarations_and_other_encodings_are_not(prolog: bytes, step: int) -> None:
    found = complaint(prolog + ROOT, step)
    assert found is not None
    assert "no declarations and no encoding but UTF-8" in found


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_what_only_looks_otherwise_in_another_encoding_is_not(encoding: str) -> None:
    assert complaint("<!DOCTYPE a><stream:stream>".encode(encoding), 1000) is not None


def test_a_stream_that_does_not_begin_is_not_waited_for() -> None:
    assert complaint(b" " * 200, 1) is None
    assert complaint(b" " * 300, 1) is not None


def test_any_number_of_bytes_is_read_as_long_as_stanzas_end() -> None:
    gate = Gate()
    assert gate.complaint(ROOT) is None
    for _ in range(5):
        assert gate.complaint(bytes(MAX_UNFINISHED_BYTES - len(ROOT))) is None
        gate.stanza_ended()


def test_a_stanza_that_does_not_end_is_not_read_for_ever() -> None:
    gate = Gate()
    assert gate.complaint(ROOT + bytes(MAX_UNFINISHED_BYTES - len(ROOT))) is None
    found = gate.complaint(b"x")
    assert found is not None
    assert "without ending a stanza" in found
