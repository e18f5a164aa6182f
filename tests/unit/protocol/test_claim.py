"""The claim: only what this service signed for this agent and this job counts."""

from __future__ import annotations

import pytest

from copilot.protocol.claim import SECRET_BYTES, Claim, ClaimRefused, Claims

OLD, NEW = b"o" * SECRET_BYTES, b"n" * SECRET_BYTES
CLAIM = Claim(job="j1", attempt=2, agent="agent@example.org", started=1795206693.25)


def claims(*secrets: bytes, deployment: str = "jm@example.org") -> Claims:
    return Claims(deployment, secrets)


def test_a_claim_comes_back_as_it_was_signed() -> None:
    text = claims(NEW).sign(CLAIM)
    assert claims(NEW).check(text, job="j1", agent="agent@example.org") == CLAIM


def test_blanks_that_old_peers_add_around_it_do_no_harm() -> None:
    text = claims(NEW).sign(CLAIM)
    assert claims(NEW).check(f" {text}\n", job="j1", agent="agent@example.org") == CLAIM


def test_the_previous_secret_stays_valid_and_the_new_one_signs() -> None:
    rotated = claims(NEW, OLD)
    assert rotated.check(claims(OLD).sign(CLAIM), job="j1", agent=CLAIM.agent) == CLAIM
    with pytest.raises(ClaimRefused, match="secret that is no longer valid"):
        claims(OLD).check(rotated.sign(CLAIM), job="j1", agent=CLAIM.agent)


@pytest.mark.parametrize(
    ("job", "agent"),
    [("j2", "agent@example.org"), ("j1", "thief@example.org"), ("j1", "agent@example.org/x")],
)
def test_a_claim_on_another_job_or_of_another_agent_is_refused(job: str, agent: str) -> None:
    with pytest.raises(ClaimRefused, match="not on job"):
        claims(NEW).check(claims(NEW).sign(CLAIM), job=job, agent=agent)


def test_a_claim_of_another_deployment_with_the_same_secret_is_refused() -> None:
    text = claims(NEW, deployment="other@example.org").sign(CLAIM)
    with pytest.raises(ClaimRefused):
        claims(NEW).check(text, job="j1", agent=CLAIM.agent)


def test_every_changed_character_breaks_it() -> None:
    text = claims(NEW).sign(CLAIM)
    for at, character in enumerate(text[:-1]):  # the last one carries unused bits of base64
        forged = text[:at] + ("A" if character != "A" else "B") + text[at + 1 :]
        with pytest.raises(ClaimRefused):
            claims(NEW).check(forged, job="j1", agent=CLAIM.agent)


@pytest.mark.parametrize(
    "text", [None, "", "startedAt=1795206693", "1.2.3", "....", "1.x.y.z", "ä" * 20, "x" * 5000]
)
def test_what_is_not_ours_is_refused(text: str | None) -> None:
    with pytest.raises(ClaimRefused):
        claims(NEW).check(text, job="j1", agent=CLAIM.agent)


def test_short_or_missing_secrets_are_a_mistake_of_the_program() -> None:
    for secrets in ((), (b"short",)):
        with pytest.raises(ValueError, match="32 bytes"):
            Claims("jm@example.org", secrets)
