"""What submitters want of their jobs: carried out by whoever looks after jobs for people with accounts, as on the dashboard."""

from __future__ import annotations

from typing import Protocol


class Became(Protocol):
    """What became of a wish. `changed`: of how many jobs or elements something is other than before; `text` says it to people."""

    @property
    def ok(self) -> bool: ...

    @property
    def changed(self) -> int: ...

    @property
    def text(self) -> str: ...


class Operating(Protocol):
    """In the name of an account, which it looks up anew."""

    async def __call__(self, jid: str, wish: str, target: str, *, reason: str, place: str) -> Became:
        """`place`: from where the account speaks. Raises `BadName` for a wish or a target that cannot be one, and what the store raises."""
        ...
