"""Simulated agents: what they say is what real ones say, and what they take from a stanza is what stands there."""

from __future__ import annotations

import re
from base64 import b64decode
from pathlib import Path

import pytest
from lxml import etree

from bench.simulated import of2011, ours, wire
from copilot.protocol import codec
from copilot.protocol.commands import Command, GetJob, HeldJob, JobDone, RenewLease, WantGetJob
from copilot.protocol.rules import FEATURES

CAPTURED = Path(__file__).parents[2] / "wire" / "2011"
VALUES = {
    b"to": b"jm@x/one",
    b"id": b"m-1",
    b"ack": b"m-2 m-3",
    b"job": wire.encoded("j1"),
    b"claim": wire.encoded("signed"),
    b"attempt": wire.encoded("2"),
}
OLD_VALUES = {
    b"from": b"agent@x",
    b"to": b"jm@x/one",
    b"id": b"m-1",
    b"jobID": b"ajE=",
    b"jmJobData": b"c2lnbmVk",
}


def said(text: bytes) -> tuple[Command, frozenset[str] | None]:
    message = etree.fromstring(text % VALUES)
    assert (message.get("to"), message.get("id")) == ("jm@x/one", "m-1")
    return codec.decode(codec.element_from_tree(message[0][0]))


@pytest.mark.parametrize(
    ("text", "kind"),
    [(ours.WANT, WantGetJob), (ours.GET, GetJob), (ours.DONE, JobDone), (ours.RENEW, RenewLease)],
)
def test_an_agent_of_ours_announces_all_that_real_ones_do(text: bytes, kind: type[Command]) -> None:
    command, features = said(text)
    assert isinstance(command, kind)
    assert features == frozenset(FEATURES)


def test_its_report_brings_the_claim_and_a_package_and_asks_for_one_job() -> None:
    report, _ = said(ours.DONE)
    assert isinstance(report, JobDone)
    assert (report.job_id, report.jm_job_data, report.slots) == ("j1", "signed", 1)
    assert b64decode(report.package or "") == ours.PACKAGE
    last, _ = said(ours.DONE_AND_NO_MORE)
    assert isinstance(last, JobDone)
    assert last.slots is None


def test_it_renews_the_attempt_that_it_was_given() -> None:
    renewal, _ = said(ours.RENEW)
    assert renewal == RenewLease(held=(HeldJob(id="j1", attempt=2, phase="run"),))


def test_it_acknowledges_several_messages_at_once() -> None:
    acks = wire.ACKS.search(ours.ACKNOWLEDGE % VALUES)
    assert acks is not None
    assert acks[1].split() == [b"m-2", b"m-3"]


@pytest.mark.parametrize(
    "text",
    [of2011.WANT, of2011.GET, of2011.WANT_PLACE, of2011.GET_PLACE, of2011.DONE],
    ids=lambda text: text[-40:-20],
)
def test_an_agent_of_2011_writes_as_the_captured_one_did(text: bytes) -> None:
    message = etree.fromstring(text % OLD_VALUES)
    command, features = codec.decode(codec.element_from_tree(message[0][0]))
    captured = etree.fromstring((CAPTURED / f"{command.NAME}.sent-by-agent.xml").read_bytes())
    assert features is None
    assert set(message.keys()) == set(captured.keys())
    assert set(message[0][0].keys()) == set(captured[0][0].keys())
    assert message[0][0].get("command") == captured[0][0].get("command")


def test_what_it_is_ordered_is_found_in_the_captured_stanza() -> None:
    stanza = wire.STANZA.match((CAPTURED / "runJob.as-delivered-to-agent.xml").read_bytes())
    assert stanza is not None
    found = [pattern.search(stanza[3]) for pattern in (wire.COMMAND, wire.JOB, wire.CLAIM)]
    values = [b64decode(one[1]).decode() for one in found if one is not None]
    assert values == ["runJob", "a5be7d48-d760-4805-b1ee-be8aa6b89136", "startedAt=1795206693"]


def test_stanzas_are_told_apart_and_the_last_one_may_be_incomplete() -> None:
    data = b"<message to='a' ack='1'/>\n<presence/><message id='2'><copilot ack='3'/></message><message id='4"
    assert [found[1] for found in wire.STANZA.finditer(data)] == [b"message", b"presence", b"message"]
    assert [found[3] for found in wire.STANZA.finditer(data)] == [None, None, b"<copilot ack='3'/>"]
    assert re.search(rb"4", b"".join(found[0] for found in wire.STANZA.finditer(data))) is None
