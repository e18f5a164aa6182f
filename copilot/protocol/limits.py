"""How much one account may say, asked of each stanza before anybody reads it. No I/O; `now` is in seconds.

A token bucket for each account that belongs here, one for each stranger and one for all strangers together; other
services are not counted. What is over a limit is dropped without a word: no acknowledgement, so an honest sender
says it again later, and no error, which would cost more than the message did.

Tables are bounded: the account that was silent longest is forgotten, and begins anew with a full bucket. Strangers
have a table of their own, so that they push out each other and nobody else.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Callable

from copilot.protocol.envelope import bare
from copilot.records import dataclass

ACCOUNTS_REMEMBERED = 20_000  # 200 bytes each
STRANGERS_REMEMBERED = 2_000
OVER_LIMIT = "too-fast"  # the reasons for which a message is dropped
NO_ROOM = "no-room"  # within the limit, and more than is worked on just now
STRANGER_OVER_LIMIT = "stranger-too-fast"


class Tier(enum.Enum):
    """What an account is to its limit."""

    SERVICE = enum.auto()  # another component of ours, the server itself: no limit
    KNOWN = enum.auto()
    STRANGER = enum.auto()  # whoever has no standing here


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many stanzas a second in the long run, and `burst` at once after a silence."""

    per_second: float
    burst: float


STRANGER = Rate(per_second=1.0, burst=10.0)
ALL_STRANGERS = Rate(per_second=50.0, burst=200.0)


class _Bucket:
    """Full at first."""

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._left = rate.burst
        self._at = now

    def take(self, now: float) -> bool:
        """One token, if there is one."""
        left = min(self._rate.burst, self._left + max(0.0, now - self._at) * self._rate.per_second)
        self._at = now
        self._left = left - 1.0 if left >= 1.0 else left
        return left >= 1.0


class Buckets:
    """One for each of the accounts that spoke last."""

    def __init__(self, rate: Rate, most: int) -> None:
        self.rate, self._most = rate, most
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def change(self, rate: Rate) -> None:
        """Another rate, for all: everybody begins anew with a full bucket."""
        self.rate = rate
        self._buckets.clear()

    def take(self, who: str, now: float) -> bool:
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = _Bucket(self.rate, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(who)
        return bucket.take(now)


class Throttle:
    """The limits of one component. `tier(bare JID)` is asked for each stanza, so it must be quick."""

    def __init__(
        self,
        tier: Callable[[str], Tier],
        known: Rate,
        *,
        stranger: Rate = STRANGER,
        all_strangers: Rate = ALL_STRANGERS,
    ) -> None:
        self._tier = tier
        self._known = Buckets(known, ACCOUNTS_REMEMBERED)
        self._strangers = Buckets(stranger, STRANGERS_REMEMBERED)
        self._all_strangers = _Bucket(all_strangers, 0.0)

    def change(self, known: Rate) -> None:
        """Another rate for accounts that belong here. If it is the same nothing changes."""
        if known != self._known.rate:
            self._known.change(known)

    def __len__(self) -> int:
        """How many accounts are remembered."""
        return len(self._known) + len(self._strangers)

    def refuses(self, sender: str, now: float, *, in_room: bool = False) -> str | None:
        """Why the next stanza of a full JID is not read; None: it is. Each occupant of a room counts by himself."""
        account = bare(sender)
        match self._tier(account):
            case Tier.SERVICE:
                return None
            case Tier.KNOWN:
                who = sender.lower() if in_room else account
                return None if self._known.take(who, now) else OVER_LIMIT
        # His own first: who is over that costs the others nothing.
        allowed = self._strangers.take(account, now) and self._all_strangers.take(now)
        return None if allowed else STRANGER_OVER_LIMIT
