"""What passwords of the dashboard are checked against: scrypt (RFC 7914), with a salt of its own for each.

The line holds when its account came into being, too: whoever gets the name later does not get the password with it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

N, R, P = 2**15, 8, 1  # 32 MiB of memory, some 0.1 s
SALT, LENGTH = 16, 32  # bytes
MEMORY = 2**26  # bytes, most that a line may ask for
LEAST, MOST = 12, 200  # characters of a password


class BadPassword(ValueError):
    """It cannot be one; the text, which is for people, says why without it."""


def check(password: str) -> str:
    """Return a password that may be set. Raises `BadPassword`."""
    if not LEAST <= len(password) <= MOST or not password.isprintable():
        raise BadPassword(f"a password has {LEAST} to {MOST} characters, and no control characters")
    if len(set(password)) < 5:
        raise BadPassword("a password has at least 5 different characters")
    return password


def line(password: str, created: float) -> str:
    """What is kept of a password of the account that came into being at that time. Raises `BadPassword`."""
    salt = secrets.token_bytes(SALT)
    digest = _digest(check(password), salt, N, R, P)
    return ":".join(("scrypt", str(N), str(R), str(P), _text(salt), _text(digest), repr(created)))


def fits(kept: str, password: str, created: float) -> bool:
    """Whether this is the password; "" as `kept` takes as long, and never fits. Takes 0.1 s: not for an event loop."""
    try:
        name, n, r, p, salt, digest, when = (kept or _NOBODY).split(":")
        known = name == "scrypt" and float(when) == created
        found = _digest(password[: MOST + 1], base64.b64decode(salt), int(n), int(r), int(p))
        same = hmac.compare_digest(found, base64.b64decode(digest))
    except (ValueError, TypeError):
        return False
    return same and known and bool(kept)


def _digest(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=n, r=r, p=p, maxmem=MEMORY, dklen=LENGTH
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


_NOBODY = ":".join(("scrypt", str(N), str(R), str(P), _text(bytes(SALT)), _text(bytes(LENGTH)), "0.0"))
