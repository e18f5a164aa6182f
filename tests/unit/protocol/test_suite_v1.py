"""Suite v1 between transport and endpoint: what is sealed, what stays in clear, and what a program of 2011 must not hear."""

from __future__ import annotations

from dataclasses import replace

import pytest

from copilot.errors import SealError
from copilot.protocol import codec
from copilot.protocol.commands import HaveGetJob, SecurityError, WantGetJob
from copilot.protocol.crypto.v1_sessions import Answering, Opening
from copilot.protocol.envelope import Envelope
from copilot.protocol.rules import FEATURES
from copilot.protocol.security import Unsaid
from copilot.protocol.suite_v1 import V1
from tests.unit.protocol.crypto.vectors import key

JM, ONE, AGENT = "jm@example.org", "jm@example.org/one", "agent@example.org/node7"
WANT = codec.encode(WantGetJob(agent_host="host", jdl="[]"))
OURS = codec.encode(WantGetJob(agent_host="host", jdl="[]"), FEATURES)
OFFER = codec.encode(HaveGetJob())


def agent() -> V1:
    return V1(Opening(lambda jid: key("jm").public_key() if jid.startswith(JM) else None))


def manager(*, acks: bool = False) -> V1:
    return V1(Answering(lambda: [key("jm")], jid=JM, wall=lambda: 0.0), acks=acks)


def carried(source: V1, target: V1, envelope: Envelope, sender: str) -> Envelope:
    """Sealed, delivered, opened."""
    sealed = source.sealed(envelope, 0.0)
    assert sealed is not None
    assert sealed.body is sealed.element is None
    assert target.recognises(sealed)
    return target.opened(replace(sealed, sender=sender), 0.0).envelope


@pytest.mark.parametrize("carriage", ["body", "element"])
def test_a_question_and_its_answer_in_either_carriage(carriage: str) -> None:
    ours, theirs = agent(), manager()
    asked = carried(ours, theirs, Envelope(to=JM, id="1", **{carriage: WANT}), AGENT)  # type: ignore[arg-type]
    assert asked == Envelope(to=JM, sender=AGENT, id="1", **{carriage: WANT})  # type: ignore[arg-type]
    told = carried(theirs, ours, Envelope(to=AGENT, id="2", **{carriage: OFFER}), ONE)  # type: ignore[arg-type]
    assert told == Envelope(to=AGENT, sender=ONE, id="2", **{carriage: OFFER})  # type: ignore[arg-type]


def test_while_nothing_is_known_of_the_peer_the_body_alone_is_used() -> None:
    sealed = agent().sealed(Envelope(to=JM, id="1", body=WANT, element=WANT), 0.0)
    assert sealed is not None
    assert sealed.sealed is None
    assert sealed.sealed_body is not None


def test_a_program_of_2011_gets_no_acknowledgements_unless_somebody_wants_it() -> None:
    acknowledged = Envelope(to=AGENT, acks=("1",), ack_carriage="body")
    theirs, told = manager(), manager(acks=True)
    for suite in (theirs, told):
        carried(agent(), suite, Envelope(to=JM, id="1", body=WANT), AGENT)
    with pytest.raises(Unsaid):
        theirs.sealed(acknowledged, 0.0)
    assert told.sealed(acknowledged, 0.0) == acknowledged


def test_one_of_ours_gets_them_in_clear_or_inside_what_is_sealed() -> None:
    ours, theirs = agent(), manager()
    carried(ours, theirs, Envelope(to=JM, id="1", body=OURS), AGENT)
    acknowledged = Envelope(to=AGENT, acks=("1",), ack_carriage="body")
    assert theirs.sealed(acknowledged, 0.0) == acknowledged
    told = carried(theirs, ours, Envelope(to=AGENT, id="2", element=OFFER, acks=("1", "2")), ONE)
    assert told == Envelope(to=AGENT, sender=ONE, id="2", element=OFFER, acks=("1", "2"))


def test_in_clear_acknowledgements_are_heard_of_whom_we_know_and_nothing_else() -> None:
    theirs = manager()
    acknowledgement = Envelope(to=JM, sender=AGENT, acks=("2",), ack_carriage="body")
    assert theirs.in_clear(acknowledgement) is None
    carried(agent(), theirs, Envelope(to=JM, id="1", body=WANT), AGENT)
    assert theirs.in_clear(acknowledgement) == acknowledgement
    assert theirs.in_clear(replace(acknowledgement, body=WANT)) == acknowledgement, "the command is not heard"
    assert theirs.in_clear(Envelope(to=JM, sender=AGENT, id="3", body=WANT)) is None
    assert theirs.in_clear(replace(acknowledgement, sender="agent@example.org/other")) is None


def test_it_seals_for_nobody_else_and_no_security_error() -> None:
    ours, theirs = agent(), manager()
    assert ours.sealed(Envelope(to="sm@example.org", id="1", body=WANT), 0.0) is None
    assert theirs.sealed(Envelope(to=AGENT, id="1", body=OFFER), 0.0) is None
    carried(ours, theirs, Envelope(to=JM, id="1", body=WANT), AGENT)
    refusal = codec.encode(SecurityError(error_string="no"))
    assert theirs.sealed(Envelope(to=AGENT, id="2", body=refusal), 0.0) is None


def test_what_is_of_another_suite_or_cannot_be_read_is_not_opened() -> None:
    theirs = manager()
    assert not theirs.recognises(Envelope(to=JM, body=WANT))
    assert not theirs.recognises(Envelope(to=JM, sealed={"suite": "v2", "info": "x"}))
    broken = Envelope(to=JM, sender=AGENT, sealed_body={"session_key": "_BASE64:%", "info": "_BASE64:%"})
    assert theirs.recognises(broken)
    with pytest.raises(SealError):
        theirs.opened(broken, 0.0)


def test_another_instance_goes_on_with_a_session() -> None:
    ours, one, two = agent(), manager(), manager()
    sealed = ours.sealed(Envelope(to=JM, id="1", body=WANT), 0.0)
    assert sealed is not None
    session = one.opened(replace(sealed, sender=AGENT), 0.0).session
    assert len(session.split()) == 1
    assert two.sealed(Envelope(to=AGENT, id="2", body=OFFER), 0.0) is None
    assert two.adopt(AGENT, session, 0.0)
    told = carried(two, ours, Envelope(to=AGENT, id="2", body=OFFER), f"{JM}/two")
    assert told.body == OFFER
    assert not two.adopt(AGENT, "v2:anything", 0.0)
    assert not ours.adopt(AGENT, session, 0.0), "an agent answers nobody"


def test_an_older_session_does_not_take_the_place_of_a_newer_one() -> None:
    older, newer, theirs = agent(), agent(), manager()
    sealed = older.sealed(Envelope(to=JM, id="1", body=WANT), 0.0)
    assert sealed is not None
    session = manager().opened(replace(sealed, sender=AGENT), 0.0).session
    carried(newer, theirs, Envelope(to=JM, id="1", body=WANT), AGENT)
    assert theirs.adopt(AGENT, session, 0.0)
    assert carried(theirs, newer, Envelope(to=AGENT, id="2", body=OFFER), ONE).body == OFFER


def test_peers_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("copilot.protocol.suite_v1.SESSIONS_REMEMBERED", 1)
    theirs = manager()
    for name in "ab":
        carried(agent(), theirs, Envelope(to=JM, id="1", body=OURS), f"{name}@example.org/x")
    assert theirs.sealed(Envelope(to="b@example.org/x", acks=("1",)), 0.0) is not None
    with pytest.raises(Unsaid):
        theirs.sealed(Envelope(to="a@example.org/x", acks=("1",)), 0.0)
