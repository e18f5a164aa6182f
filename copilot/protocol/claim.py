"""The claim on a job: what `jmJobData` holds, signed, so that any instance can check a report without memory.

Protocol page, section 3. The agent returns it untouched. It proves that this attempt of this job was given to
this agent; whether the attempt still holds the job is for the store to tell.

Format: `1.<key id>.<base64url of a JSON list>.<base64url of HMAC-SHA-256>`; the list is
[deployment, job, attempt, agent's bare JID, start time in s].
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

from copilot.errors import CopilotError
from copilot.records import dataclass

SIGNED_PREFIX = b"copilot-claim-v1\0"  # so that no other use of the secret can yield a valid claim
SECRET_BYTES = 32
MAX_CLAIM_CHARACTERS = 1024
_json = json.JSONEncoder(separators=(",", ":")).encode


class ClaimRefused(CopilotError):
    """The claim is missing, forged, of another deployment, or somebody else's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who was given which attempt of which job. `started` is in seconds since the epoch."""

    job: str
    attempt: int
    agent: str
    started: float


class Claims:
    """Signs and checks claims. `secrets`: the present one first, then those that are still accepted."""

    def __init__(self, deployment: str, secrets: Sequence[bytes]) -> None:
        if not secrets or any(len(secret) < SECRET_BYTES for secret in secrets):
            raise ValueError(f"a claim secret has at least {SECRET_BYTES} bytes")
        self._deployment = deployment
        self._secrets = {_key_id(secret): secret for secret in reversed(secrets)}
        self._current = _key_id(secrets[0])

    def sign(self, claim: Claim) -> str:
        """The text for `jmJobData`."""
        fields = [self._deployment, claim.job, claim.attempt, claim.agent, claim.started]
        head = f"1.{self._current}.{_text(_json(fields).encode())}"
        return f"{head}.{_text(self._mac(self._current, head))}"

    def check(self, text: str | None, *, job: str, agent: str) -> Claim:
        """The claim in `text`, if it is ours, on `job`, and made out to `agent` (bare JID).

        Raises `ClaimRefused`; sending the same again never helps.
        """
        if not text or len(text) > MAX_CLAIM_CHARACTERS:
            raise ClaimRefused("jmJobData: expected the text that came with the job, unchanged")
        head, _, mac = text.strip().rpartition(".")
        version, _, rest = head.partition(".")
        key, _, encoded = rest.partition(".")
        if version != "1" or key not in self._secrets:
            raise ClaimRefused(
                "jmJobData: not signed by this service, or with a secret that is no longer valid"
            )
        if not hmac.compare_digest(self._mac(key, head), _bytes(mac)):
            raise ClaimRefused("jmJobData: the signature does not fit")
        deployment, claimed_job, attempt, holder, started = json.loads(_bytes(encoded))
        if deployment != self._deployment or claimed_job != job or holder != agent:
            raise ClaimRefused(f"jmJobData: this claim is not on job {job!r} by {agent}")
        return Claim(job=claimed_job, attempt=attempt, agent=holder, started=started)

    def _mac(self, key: str, head: str) -> bytes:
        return hmac.digest(self._secrets[key], SIGNED_PREFIX + head.encode(), "sha256")


def _key_id(secret: bytes) -> str:
    return hashlib.sha256(SIGNED_PREFIX + secret).hexdigest()[:8]


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _bytes(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
