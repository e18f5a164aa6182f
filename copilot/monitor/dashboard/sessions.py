"""Who is logged in, and how often somebody may try to be. In this process's memory: a restart of the monitor logs all out.

Nothing here reads a clock: `now` is in seconds that never go back.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict, deque
from dataclasses import field

from copilot.records import dataclass

IDLE = 30 * 60.0  # s without a request of his own after which somebody is logged out
LONGEST = 12 * 3600.0  # s after which he has to log in again in any case
MOST = 1000  # sessions; the oldest goes
PER_PERSON = 10
BYTES = 32  # of an id, and of a token

WINDOW = 15 * 60.0  # s in which failed logins are counted
MOST_FAILED = 10  # of one address in that time
MOST_OF_ACCOUNT = 100  # of one account, from many addresses; so nobody keeps somebody else out from one
MOST_KEYS = 10_000  # addresses and accounts that are remembered; the oldest goes


@dataclass(slots=True, kw_only=True)
class Session:
    """`token` goes with each wish, for a page of somebody else cannot read it. `right`: a hash of what let him in."""

    jid: str
    right: str = field(repr=False)
    token: str = field(repr=False)
    begun: float
    used: float


class Sessions:
    """By the hash of their id: what is kept logs nobody in."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def begin(self, jid: str, now: float, *, right: str) -> tuple[str, Session]:
        """A new id, which nobody has seen before, and the session. `right`: what let him in (`is_right`)."""
        mine = [key for key, one in self._sessions.items() if one.jid == jid]
        for key in mine[: max(0, len(mine) - PER_PERSON + 1)]:
            del self._sessions[key]
        while len(self._sessions) >= MOST:
            self._sessions.popitem(last=False)
        ident = secrets.token_urlsafe(BYTES)
        session = Session(
            jid=jid, right=_hashed(right), token=secrets.token_urlsafe(BYTES), begun=now, used=now
        )
        self._sessions[_hashed(ident)] = session
        return ident, session

    def find(self, ident: str, now: float, *, use: bool = True) -> Session | None:
        """The session, if it has not ended; `use`: it goes on from now."""
        key = _hashed(ident)
        session = self._sessions.get(key)
        if session is None:
            return None
        if now - session.used > IDLE or now - session.begun > LONGEST:
            del self._sessions[key]
            return None
        if use:
            session.used = now
        return session

    def end(self, ident: str) -> None:
        """He logs out."""
        self._sessions.pop(_hashed(ident), None)

    def end_all(self, jid: str) -> None:
        """This account counts no more."""
        for key in [key for key, one in self._sessions.items() if one.jid == jid]:
            del self._sessions[key]


def is_right(session: Session, right: str) -> bool:
    """Whether what let him in is still the same: who changes his password is logged out everywhere."""
    return hmac.compare_digest(session.right, _hashed(right))


def is_token(session: Session, given: str) -> bool:
    """Whether that is the token of the session."""
    return hmac.compare_digest(session.token.encode(), given.encode("utf-8", "replace"))


class Tries:
    """Failed logins, by address or by account, `most` of one."""

    def __init__(self, most: int = MOST_FAILED) -> None:
        self._most = most
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def failed(self, key: str, now: float) -> None:
        """One more."""
        self._failed.setdefault(key, deque(maxlen=self._most)).append(now)
        self._failed.move_to_end(key)
        while len(self._failed) > MOST_KEYS:
            self._failed.popitem(last=False)

    def forget(self, key: str) -> None:
        """One of these tries was none: somebody has logged in. What failed before counts on."""
        if times := self._failed.get(key):
            times.pop()

    def wait(self, key: str, now: float) -> float:
        """For how many seconds nobody may try with this; 0.0 if somebody may."""
        times = self._failed.get(key)
        if times is None or len(times) < self._most:
            return 0.0
        return max(0.0, times[0] + WINDOW - now)


def _hashed(ident: str) -> str:
    return hashlib.sha256(ident.encode("utf-8", "replace")).hexdigest()
