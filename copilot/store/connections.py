"""What the queue in Redis needs of connections: commands go there together, answers come back as Redis gives them (RESP2).

`copilot.store.pools` has them by redis-py, for programs that stay, and to whatever server sentinels name; `copilot.store.single` has one
by itself, for commands that somebody types (decision 27). Both raise what is here, and nothing of theirs.

Who sends sets the time limit, by `asyncio.timeout`. Nothing is tried twice here: the caller decides.
"""

from __future__ import annotations

import abc
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import hiredis

Command = Sequence[str | float | bytes]  # its name first, which may be two words


class Refusal(Exception):
    """Redis says no. `word` is what it begins that with: NOSCRIPT, OOM, WRONGPASS; "" if there is none."""

    def __init__(self, text: str, word: str | None = None) -> None:
        super().__init__(text)
        first = text.partition(" ")[0]
        self.word = word if word is not None else first if first.isupper() else ""


class NoRedisThere(Exception):
    """What answers speaks another language."""


class NoPrimary(Exception):
    """No sentinel names a primary of this service."""


class Connections(abc.ABC):
    """Belongs to the event loop that first uses it. What cannot be reached raises OSError, as does what goes away meanwhile; a command
    that was on its way may have been carried out then."""

    failover = False  # whether another server may take the place of this one

    @abc.abstractmethod
    async def ask(self, commands: Sequence[Command], *, raw: bool = False, waits: bool = False) -> list[Any]:
        """The answers to these commands, sent in one go; a `Refusal` stands in the place of an answer.

        `raw`: texts come as bytes. `waits`: Redis may wait before it answers, so nobody else may stand behind these commands.
        Raises `Refusal` (a connection is not taken), `NoRedisThere`, `NoPrimary`, OSError.
        """

    @abc.abstractmethod
    def listen(self, channel: str) -> AsyncGenerator[str | None, None]:
        """None as soon as it listens, then what is published there. Raises as `ask`."""

    @abc.abstractmethod
    async def look_again(self) -> None:
        """Something went wrong: who sends next connects anew if that may lead to another server. Calls that are under way are left
        alone; they find out by themselves."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Give the connections back. Idempotent."""


def packed(commands: Sequence[Command]) -> bytes:
    """As Redis reads them. In C: packing them in Python was a fourth of all that a busy manager did."""
    return b"".join(map(_packed, commands))


def _packed(command: Command) -> bytes:
    words: Any = (*str(command[0]).split(), *command[1:])
    found: bytes = hiredis.pack_command(words)
    return found
