"""Acknowledgements: what we have said and not heard of (`Outbox`), and what we have heard before (`Seen`).

Protocol page, section 1, rows Ack, Resend and Duplicates. Time is an argument, in seconds of a clock that never
jumps.
"""

from __future__ import annotations

import enum
import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterator

from copilot.protocol.commands import Command
from copilot.protocol.envelope import Element, bare
from copilot.records import dataclass

FIRST_RESEND = 10.0  # s
LONGEST_RESEND = 600.0  # s
RESENDS_TO_2011 = 3  # it acknowledges on receipt and never a copy: after this many, silence means nothing
REMEMBERED = 15 * 60.0  # s: longer than the longest wait between two copies of one message
REMEMBERED_COUNT = 50_000


@dataclass(slots=True)
class Pending:
    """A message that waits for its acknowledgement. `to` may change: another instance may take it over."""

    id: str
    to: str
    command: Command
    void_at: float
    due: float
    sent: int = 0
    legacy: bool = False  # the receiver is, or may be, a peer of 2011
    info: Element | None = None  # `command` in somebody else's words, which go out as they are
    session: str = ""  # it goes out sealed, or not at all: the session of `to`, as in `Received`


class Outbox:
    """What was said and must be acknowledged. `random()` yields 0 … 1."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._pending: dict[str, Pending] = {}
        self._timers: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._pending)

    def __iter__(self) -> Iterator[Pending]:
        return iter(list(self._pending.values()))

    def add(self, message: Pending) -> None:
        """Keep a message; it is due at `message.due`."""
        self._pending[message.id] = message
        self._arm(message)

    def settle(self, sender: str, message_id: str) -> Pending | None:
        """`sender` (any resource of whom it went to) has acknowledged or refused `message_id`: forget it."""
        message = self._pending.get(message_id)
        if message is None or bare(message.to) != bare(sender):
            return None
        return self._pending.pop(message_id)

    def get(self, message_id: str) -> Pending | None:
        """The message, if it still waits."""
        return self._pending.get(message_id)

    def forget(self, message_id: str) -> None:
        """Stop sending it, acknowledged or not."""
        self._pending.pop(message_id, None)

    def postpone(self, message_id: str, due: float) -> None:
        """Send it (again) at `due`."""
        message = self._pending.get(message_id)
        if message is not None:
            message.due = due
            self._arm(message)

    def due_now(self) -> None:
        """After a reconnect: everything is due at once."""
        for message in self._pending.values():
            message.due = 0.0
            self._arm(message)

    def take_due(self, now: float) -> tuple[list[Pending], list[Pending]]:
        """Messages to send (again) now, and messages that have become void and are forgotten."""
        send: list[Pending] = []
        void: list[Pending] = []
        while self._timers and self._timers[0][0] <= now:
            due, message_id = heapq.heappop(self._timers)
            message = self._pending.get(message_id)
            if message is None or due != min(message.due, message.void_at):
                continue
            if now >= message.void_at or (message.legacy and message.sent > RESENDS_TO_2011):
                void.append(self._pending.pop(message_id))
                continue
            send.append(message)
            message.due = now + self._wait(message.sent)
            message.sent += 1
            self._arm(message)
        return send, void

    def next_due(self) -> float | None:
        """When `take_due` has something to do; None: never."""
        while self._timers:
            due, message_id = self._timers[0]
            message = self._pending.get(message_id)
            if message is not None and due == min(message.due, message.void_at):
                return due
            heapq.heappop(self._timers)
        return None

    def _arm(self, message: Pending) -> None:
        heapq.heappush(self._timers, (min(message.due, message.void_at), message.id))

    def _wait(self, sent: int) -> float:
        longest = min(LONGEST_RESEND, FIRST_RESEND * 2.0**sent)
        return FIRST_RESEND + self._random() * (longest - FIRST_RESEND)


class Sight(enum.Enum):
    """How a message looks to `Seen`."""

    NEW = enum.auto()
    IN_WORK = enum.auto()  # a copy of one that is being worked on: its acknowledgement will come
    ANSWERED = enum.auto()  # a copy of one that was acknowledged: acknowledge this one too


class Seen:
    """Messages that we know, by sender's bare JID and id; bounded by time and count."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], tuple[float, bool]] = OrderedDict()

    def look(self, sender: str, message_id: str, now: float) -> Sight:
        """Classify a message; a new one is from now on in work."""
        self._drop_old(now)
        key = (bare(sender), message_id)
        known = self._known.get(key)
        if known is None:
            self._known[key] = (now, False)
            return Sight.NEW
        return Sight.ANSWERED if known[1] else Sight.IN_WORK

    def answered(self, sender: str, message_id: str, now: float) -> None:
        """It was acknowledged."""
        key = (bare(sender), message_id)
        self._known[key] = (now, True)
        self._known.move_to_end(key)

    def forget(self, sender: str, message_id: str) -> None:
        """It could not be worked on: the next copy counts as new."""
        self._known.pop((bare(sender), message_id), None)

    def _drop_old(self, now: float) -> None:
        while self._known:
            key, (since, _) = next(iter(self._known.items()))
            if since + REMEMBERED >= now and len(self._known) < REMEMBERED_COUNT:
                return
            del self._known[key]
