"""What has left for Carbon and may not have arrived: the part of it that must go again after a break."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


class Handed:
    """Lines that were handed to a connection, the oldest first, until they need not be remembered any more."""

    def __init__(self, *, repeat: float, most: int) -> None:
        """`repeat`: for so many seconds a line is remembered even if the other machine has it; `most`: lines in all."""
        self._repeat = repeat
        self._most = most
        self._lines: deque[tuple[float, int, str]] = deque()  # when, how many bytes had gone then, and what
        self._bytes = 0  # in this connection

    def add(self, lines: Sequence[str], now: float) -> None:
        """These have just left, each with a newline behind it."""
        for line in lines:
            self._bytes += len(line) + 1
            self._lines.append((now, self._bytes, line))

    def settle(self, now: float, unacknowledged: int) -> None:
        """Of all bytes so many have not been acknowledged by the other machine. Forget what is older than `repeat`, but for
        the lines of those bytes."""
        arrived = self._bytes - unacknowledged
        while self._lines:
            when, end, _ = self._lines[0]
            if (when > now - self._repeat or end > arrived) and len(self._lines) <= self._most:
                return
            self._lines.popleft()

    def take(self, room: int) -> list[str]:
        """A new connection begins: all that is remembered, the newest `room` of it, and nothing is from now on."""
        again = [line for _, _, line in self._lines][-room:] if room > 0 else []
        self._lines.clear()
        self._bytes = 0
        return again
