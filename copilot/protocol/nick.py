"""The short name of a component in chat rooms, tables and metric paths: stable, and made from its full JID alone."""

from __future__ import annotations

import hashlib
import re

from copilot.protocol.envelope import bare

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,15}")
_DIGITS = 4  # in a group
_GROUPS = 4


def nick(jid: str) -> str:
    """The resource if it is a short plain word (`alpha`), else `unique_nick`."""
    resource = jid.partition("/")[2]
    return resource if _PLAIN.fullmatch(resource) else unique_nick(jid)


def unique_nick(jid: str) -> str:
    """Four groups of four hex digits of the SHA-256 of a full JID: `e48b-42d9-25af-ecf4`.

    Local and domain part count in lower case, as servers compare them (RFC 7622).
    """
    _, slash, resource = jid.partition("/")
    digest = hashlib.sha256(f"{bare(jid)}{slash}{resource}".encode()).hexdigest()
    return "-".join(digest[start : start + _DIGITS] for start in range(0, _DIGITS * _GROUPS, _DIGITS))
