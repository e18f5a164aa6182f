"""What people with accounts want beside giving jobs: it is carried out where the wishes of the dashboard are, too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from copilot.protocol.commands import HaveJobs

MOST_WAITING = 10  # questions that wait for their turn

T = TypeVar("T")


class Became(Protocol):
    """What became of a wish. `changed`: of how many jobs or elements something is other than before; `text` says it to people."""

    @property
    def ok(self) -> bool: ...

    @property
    def changed(self) -> int: ...

    @property
    def text(self) -> str: ...


class Why(Protocol):
    """Why a job is where it is: a word, a sentence, and what to do next."""

    @property
    def code(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def next(self) -> str: ...


class Desk(Protocol):
    """In the name of an account, which it looks up anew. Raises what the store raises."""

    async def operate(self, jid: str, wish: str, target: str, *, reason: str, place: str) -> Became:
        """`place`: from where the account speaks. Raises `BadName` for a wish or a target that cannot be one."""
        ...

    async def jobs(self, jid: str, states: Sequence[str], limit: int) -> HaveJobs:
        """The first jobs of the account, or of all for who looks after all. Raises `BadName` for a word that is no state."""
        ...

    async def why(self, job: str) -> Why:
        """Why the job is where it is."""
        ...


class Turns:
    """Questions that take a while are answered one at a time: a twentieth of a second each, on a large fleet. Belongs to one event loop."""

    def __init__(self) -> None:
        self._one = asyncio.Lock()
        self._waiting = 0

    async def take(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """None if too many wait. Raises what `ask` raises."""
        if self._waiting > MOST_WAITING:
            return None
        self._waiting += 1
        try:
            async with self._one:
                return await ask()
        finally:
            self._waiting -= 1
