"""The short name of a component in rooms and in metrics: the same at each start, and readable where it can be."""

from __future__ import annotations

import hashlib
import re

_SHORT = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,15}\Z")


def nick(jid: str) -> str:
    """The resource of a full JID if that is a short plain word, else a digest like `e48b-42d9-25af-ecf4`."""
    resource = jid.partition("/")[2]
    return resource if _SHORT.match(resource) else digest_nick(jid)


def digest_nick(jid: str) -> str:
    """The name of a component whose resource is no short word, or has been taken in a room by another."""
    digits = hashlib.sha256(jid.encode()).hexdigest()
    return "-".join(digits[start : start + 4] for start in range(0, 16, 4))
