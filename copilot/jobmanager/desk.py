"""What people with accounts want beside giving jobs: it is carried out where the wishes of the dashboard are, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from copilot.protocol.commands import HaveJobs


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
