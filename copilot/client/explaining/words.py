"""Numbers, times and names as sentences have them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from copilot.job import one_line

MOST_NAMES = 3
MOST_CHARACTERS = 2000
_UNITS = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"))


def clipped(text: str, most: int = MOST_CHARACTERS) -> str:
    """A sentence that goes over the wire, with nothing that moves a cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)[:most]


def lasting(seconds: float) -> str:
    """A span: `45 s`, `12 minutes`, `3.5 hours`."""
    for size, name in _UNITS:
        if seconds >= 2 * size or (name != "minute" and seconds >= size):
            number = seconds / size
            text = f"{number:.0f}" if number >= 10 or name == "minute" else f"{number:.2g}"
            return f"{text} {name}{'' if text == '1' else 's'}"
    return f"{max(0, round(seconds))} s"


def at(seconds: float, now: float) -> str:
    """A time of day, with the date if it is not within half a day of now."""
    moment = datetime.fromtimestamp(seconds, tz=UTC).astimezone()
    return moment.strftime("%H:%M:%S" if abs(seconds - now) < 43200 else "%Y-%m-%d %H:%M")


def count(number: int, noun: str) -> str:
    """`1 agent`, `12 agents`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def are(number: int) -> str:
    """The verb that goes with so many."""
    return "is" if number == 1 else "are"


def names(found: Sequence[str], total: int | None = None) -> str:
    """Some of them, and how many more there are."""
    shown = ", ".join(one_line(name) for name in found[:MOST_NAMES])
    more = (len(found) if total is None else total) - min(len(found), MOST_NAMES)
    return f"{shown} and {more} more" if more > 0 else shown
