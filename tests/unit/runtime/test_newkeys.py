"""New keys of a manager: told to who uses an old one, taken only from who holds one that is known, kept before it is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from copilot.protocol.commands import GetJob, NewKeys, ReportEvent
from copilot.protocol.crypto.keys import PrivateKeys, kid, public_text
from copilot.protocol.events import Received
from copilot.protocol.session import Opening
from copilot.runtime.component import Perform, Refuse, Send, Tick
from copilot.runtime.keyring import LEARNED, FileRing
from copilot.runtime.keys import new_key_file
from copilot.runtime.newkeys import TELL_AGAIN, KeepKeys, KeyLearner, KeyTeller, new_keys
from tests.hand_clock import HandClock
from tests.sealing import agent, public, service

CLOCK = HandClock(0.0)


def manager_ring(place: Path, keys: PrivateKeys) -> FileRing:
    new_key_file(place / "jm.key", keys)
    return FileRing(place / "jm.key", place / "none", now=CLOCK.monotonic)


def agent_ring(place: Path) -> FileRing:
    """It knows the old keys."""
    new_key_file(place / "agent.key", agent())
    (place / "services.pub").write_text(public_text({"jm@x": service().public}))
    return FileRing(place / "agent.key", place / "services.pub", now=CLOCK.monotonic, learned=place / LEARNED)


def asked(keys: PrivateKeys) -> Received:
    opening = Opening(
        kid=kid(keys.opening[0].public_key()), session="A" * 22, key="AA==", sig="AA==", time="1"
    )
    return Received(
        command=GetJob(agent_host="h", jdl="[]"),
        sender="agent@x/a",
        id="m",
        features=frozenset(),
        element=True,
        wants_ack=True,
        sealed=True,
        session=opening.text(),
    )


def told(news: NewKeys, *, sealed: bool = True, sender: str = "jm@x/one") -> Received:
    return replace(asked(service()), command=news, sender=sender, sealed=sealed, session="")


@pytest.fixture
def rotated(tmp_path: Path) -> FileRing:
    return manager_ring(tmp_path, service().with_new(service(1)))


def test_who_uses_an_old_key_is_told_once_in_a_while(rotated: FileRing) -> None:
    teller = KeyTeller(lambda: rotated, "jm@x")
    (action,) = teller.handle(asked(service()), 0.0)
    assert isinstance(action, Send)
    assert isinstance(action.command, NewKeys)
    assert teller.handle(asked(service()), TELL_AGAIN - 1) == []
    assert len(teller.handle(asked(service()), TELL_AGAIN)) == 1


def test_who_uses_the_newest_key_or_is_no_agent_is_not_told(rotated: FileRing) -> None:
    teller = KeyTeller(lambda: rotated, "jm@x")
    assert teller.handle(asked(service(1)), 0.0) == []
    report = replace(asked(service()), command=ReportEvent(component="x", event="y"))
    assert teller.handle(report, 0.0) == []
    assert KeyTeller(lambda: None, "jm@x").handle(asked(service()), 0.0) == []
    assert teller.handle(Tick(), 0.0) == []
    assert teller.wakeup() == 5.0


def test_an_agent_keeps_them_and_uses_them(rotated: FileRing, tmp_path: Path) -> None:
    ring = agent_ring(tmp_path)
    learner = KeyLearner(ring)
    (action,) = learner.handle(told(new_keys(rotated, "jm@x")), 0.0)
    assert isinstance(action, Perform)
    assert isinstance(action.effect, KeepKeys)
    learner.perform(action.effect)
    assert [one.kid for one in ring.pinned("jm@x")] == [kid(service(1).public.opening[0])]
    assert ring.signers("jm@x") == (public(service(1)),)


@pytest.mark.parametrize("case", ["in clear", "of another", "not signed", "changed", "no keys", "rubbish"])
def test_an_agent_takes_none_that_might_be_of_somebody_else(
    rotated: FileRing, tmp_path: Path, case: str
) -> None:
    ring = agent_ring(tmp_path)
    news = new_keys(rotated, "jm@x")
    (tmp_path / "other").mkdir()
    strange = new_keys(manager_ring(tmp_path / "other", service(2)), "jm@x")
    received = {
        "in clear": told(news, sealed=False),
        "of another": told(news, sender="sm@x/one"),
        "not signed": told(strange),
        "changed": told(replace(news, keys=strange.keys)),
        "no keys": told(NewKeys(keys="", signatures=())),
        "rubbish": told(NewKeys(keys="jm@x\n", signatures=("AA==", "é", "x"))),
    }[case]
    (action,) = KeyLearner(ring).handle(received, 0.0)
    assert isinstance(action, Refuse)
    assert action.code == "bad-signature"
    assert not (tmp_path / LEARNED).exists()
