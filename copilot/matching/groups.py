"""Groups of jobs: those that any agent that takes one of them takes alike, so that one look is enough for all (decision 20)."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode

from copilot.job import JobSpec
from copilot.matching.needs import needed
from copilot.matching.resources import KEY_DIGITS, Request

PLAIN, PARTICULAR = "p", "r"  # any host will do; those that meet requirements
RANKED = "k"  # the same, or any, and some are preferred; the scripts have it, too
WHO_DIGITS = 16  # hexadecimal
OTHER_CHARACTERS = 20  # of base64: 120 bits
# Of a name; the scripts have the same. In each job's record Redis keeps values of up to 64 bytes in a third of the memory.
GROUP_LENGTH = KEY_DIGITS + 1 + WHO_DIGITS + OTHER_CHARACTERS
OLD_ANY = "any"  # what older versions called the group of jobs without requirements; others had 40 digits


def group_of(spec: JobSpec) -> str:
    """The name of its group: request, `p`, `r` or `k`, digits of owner and project, and of all by which agents may tell jobs apart.
    Raises `BadRequirements`."""
    requirements = needed(spec)
    kind = RANKED if spec.rank else PARTICULAR if requirements else PLAIN
    who: list[object] = [spec.owner, spec.project]
    other: list[object] = [requirements, sorted(spec.tags), spec.image, spec.network, *who]
    if spec.rank:
        other.append([spec.rank])
    if spec.exclusive:
        other.append("exclusive")
    return f"{Request.of(spec).key}{kind}{_digest(who).hex()[:WHO_DIGITS]}{_text(_digest(other))[:OTHER_CHARACTERS]}"


def request_of(group: str) -> Request:
    """What each job of a group takes: that of an older version one core."""
    return Request.from_key(group[:KEY_DIGITS]) if len(group) == GROUP_LENGTH else Request()


def is_plain(group: str) -> bool:
    """Whether any host will do."""
    return group == OLD_ANY or (len(group) == GROUP_LENGTH and group[KEY_DIGITS] == PLAIN)


def who_of(group: str) -> str:
    """Digits that are the same for groups of one owner in one project; "" for those of older versions, of which nobody knows."""
    return group[KEY_DIGITS + 1 :][:WHO_DIGITS] if len(group) == GROUP_LENGTH else ""


def _digest(words: list[object]) -> bytes:
    return hashlib.sha256(json.dumps(words).encode()).digest()


def _text(digest: bytes) -> str:
    return urlsafe_b64encode(digest).decode("ascii")
