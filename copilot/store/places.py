"""Places in lists that are read page by page, as texts that come back from whoever reads.

What waits or runs moves all the time, so there a place is how many to leave out. In lists with the newest first it is the last
job that was shown, with the time by which it is sorted: what is new does not shift the next page.
"""

from __future__ import annotations

from copilot.job import State
from copilot.patterns import pattern
from copilot.records import dataclass

DEEPEST = 500  # waiting jobs that a page may leave out: all before them have to be merged from their queues

_COUNTED = (State.WAITING, State.RUNNING)
_NUMBER = pattern(r"[0-9]{1,9}\Z")
_BEHIND = pattern(r"(?P<time>[0-9]{1,20}(\.[0-9]{1,20})?):(?P<job>[A-Za-z0-9][A-Za-z0-9._-]{0,127})\Z")
_HEAD = pattern(
    r"(\+?[0-9]{34}([0-9a-f]{40}|[0-9a-f]{27}[pr][0-9a-f]{16}[A-Za-z0-9_-]{20}|any))?\Z"
)  # of a group; see `keys.TABLE`


def check_head(text: str) -> str:
    """Return `text` if groups may be read from there on: "", or as the groups before have told. Raises `ValueError`."""
    if not _HEAD.match(text):
        raise ValueError(f"place {text[:60]!r}: expected '' or the place that the groups before have told")
    return text


def entry_order(entry: str) -> tuple[int, int]:
    """By which ids of the event stream, `<milliseconds>-<number>`, are in order; the number may be missing."""
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a page begins: how many to leave out, or behind which job and its time; "" for neither."""

    state: State
    skip: int = 0
    time: str = ""
    job: str = ""

    def after(self, shown: int, limit: int, last: str) -> str:
        """The place behind a page of `shown` rows, for which `limit` were asked, `last` is `<time>:<job>` of the last one;
        "" if nothing is behind it, or nothing that may be asked for."""
        if shown < limit:
            return ""
        if self.state not in _COUNTED:
            return last
        skip = self.skip + shown
        return "" if self.state is State.WAITING and skip > DEEPEST else str(skip)


def read_place(state: State, text: str) -> Place:
    """The place that `text` means in the list of this state; "" is its begin. Raises `ValueError`."""
    if not text:
        return Place(state=state)
    if state not in _COUNTED:
        match = _BEHIND.match(text)
        if not match:
            raise ValueError(f"place {text[:60]!r}: expected '<time>:<job>', as the page before has it")
        return Place(state=state, time=match["time"], job=match["job"])
    if not _NUMBER.match(text) or (state is State.WAITING and int(text) > DEEPEST):
        most = f" up to {DEEPEST}" if state is State.WAITING else ""
        raise ValueError(f"place {text[:60]!r}: expected a number{most}, as the page before has it")
    return Place(state=state, skip=int(text))
