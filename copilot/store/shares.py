"""What owners and projects may have: shares of what is there, and limits on what runs (decision 20)."""

from __future__ import annotations

from typing import Protocol

from copilot.records import dataclass

OWNER, PROJECT = "owner:", "project:"
NO_LIMIT = "-"  # in the store
MOST_SHARES = 100  # rules.py and the scripts cut the product of owner and project there, too
MOST_RUNNING = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What `owner:<name>` or `project:<name>` may have: `shares` against those of others, and at most so many `jobs` and `cores`
    that run at a time (None: no limit). `running` jobs and `used` cores are what it has now."""

    whose: str
    shares: int = 1
    jobs: int | None = None
    cores: int | None = None
    running: int = 0
    used: int = 0

    @property
    def full(self) -> bool:
        """Whether no job of it may begin."""
        return (self.jobs is not None and self.running >= self.jobs) or (
            self.cores is not None and self.used >= self.cores
        )

    @property
    def room(self) -> int | None:
        """How many cores more it may use; None: no limit."""
        if self.jobs is not None and self.running >= self.jobs:
            return 0
        return None if self.cores is None else self.cores - self.used


def whose(owner: str, project: str) -> tuple[str, ...]:
    """Whose limits hold for a job: its owner's and, if it has one, its project's."""
    return (f"{OWNER}{owner}", *((f"{PROJECT}{project}",) if project else ()))


def check_share(share: Share) -> Share:
    """Return `share` if it may be set. Raises `ValueError`."""
    kind, _, name = share.whose.partition(":")
    if f"{kind}:" not in (OWNER, PROJECT) or not 0 < len(name) <= 1024:
        raise ValueError(f"{share.whose[:80]!r}: expected owner:<name> or project:<name>")
    if not 1 <= share.shares <= MOST_SHARES:
        raise ValueError(f"{share.whose}: {share.shares} shares: expected 1 to {MOST_SHARES}")
    for word, most in (("jobs", share.jobs), ("cores", share.cores)):
        if most is not None and not 0 <= most <= MOST_RUNNING:
            raise ValueError(
                f"{share.whose}: at most {most} {word}: expected 0 to {MOST_RUNNING}, or no limit"
            )
    return share


def share_to_text(share: Share) -> str:
    """As the store keeps it."""
    words = (share.shares, *(NO_LIMIT if most is None else most for most in (share.jobs, share.cores)))
    return " ".join(map(str, words))


def share_from_text(whose: str, text: str, *, running: int = 0, used: int = 0) -> Share:
    """The inverse; "" for what nobody has set."""
    shares, jobs, cores = text.split() if text else ("1", NO_LIMIT, NO_LIMIT)
    return Share(
        whose=whose,
        shares=int(shares),
        jobs=None if jobs == NO_LIMIT else int(jobs),
        cores=None if cores == NO_LIMIT else int(cores),
        running=running,
        used=used,
    )


class Shares(Protocol):
    """Part of `Store`; errors are those of its methods."""

    async def set_share(self, share: Share) -> None:
        """From now on `share.whose` may have that. Jobs that wait keep their turns, and what runs goes on. Raises `ValueError`."""
        ...

    async def shares(self, names: tuple[str, ...] = ()) -> tuple[Share, ...]:
        """What these (`owner:<name>`, `project:<name>`; at most 1000) may have, and have; without any, all that was set, by name."""
        ...
