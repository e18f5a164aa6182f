"""What owners, projects and agents have used in a period: sums of the sums that the queue keeps by day (docs/usage.md)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta

from copilot.errors import BadName
from copilot.patterns import pattern
from copilot.records import dataclass
from copilot.store.base import Store
from copilot.store.usage import AGENT_USAGE_KEPT, DAY, USAGE_KEPT, By, Sums

EPOCH = date(1970, 1, 1)
DEFAULT_SPAN = 30  # days
DAYS_AT_ONCE = 50  # asked for together
HOUR = 3600.0
_SPAN = pattern(r"([1-9][0-9]{0,3})([dw])\Z")
_DAYS = {"d": 1, "w": 7}


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From `first` to `last`, both days with it, in UTC."""

    first: date
    last: date

    @classmethod
    def read(cls, since: str | None, until: str | None, today: date) -> Period:
        """`since` is a day (2026-01-31) or how long ago it began, today with it (7d, 4w); `until` a day. Raises `BadName`."""
        last = today if until is None else _day("--until", until)
        first = last - timedelta(days=DEFAULT_SPAN - 1)
        if since is not None:
            span = _SPAN.match(since)
            first = (
                _day("--since", since)
                if span is None
                else today - timedelta(days=int(span[1]) * _DAYS[span[2]] - 1)
            )
        if first > last:
            raise BadName(f"--since {first}: is after the last day, {last}")
        oldest = today - timedelta(days=USAGE_KEPT // DAY)
        return cls(first=max(first, oldest), last=min(last, today))

    def days(self) -> range:
        """Days since the epoch."""
        return range((self.first - EPOCH).days, (self.last - EPOCH).days + 1)


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadName(
            f"{option} {text[:40]!r}: expected a day like 2026-01-31"
            + ("" if option == "--until" else ", or how long ago, like 7d or 4w")
        ) from None


def today() -> date:
    """In UTC, as the queue has days."""
    return datetime.now(tz=UTC).date()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What was used in a period: `rows` by name, those first who took most, and all of it together."""

    by: By
    period: Period
    rows: Mapping[str, Sums]
    total: Sums

    def facts(self) -> dict[str, object]:
        """Plain data, ready for JSON; seconds and bytes."""
        return {
            "by": self.by.value,
            "since": self.period.first.isoformat(),
            "until": self.period.last.isoformat(),
            "rows": [{"name": name, **_facts(sums)} for name, sums in self.rows.items()],
            "total": _facts(self.total),
        }

    @property
    def incomplete(self) -> bool:
        """Whether the period begins before what is kept."""
        kept = AGENT_USAGE_KEPT if self.by is By.AGENT else USAGE_KEPT
        return (today() - self.period.first).days > kept // DAY


def _facts(sums: Sums) -> dict[str, object]:
    return {**asdict(sums), "failed": sums.failed, "core_hours": round(sums.cores / HOUR, 6)}


async def read_usage(store: Store, by: By, period: Period) -> Usage:
    """Ask the queue. Raises `StoreUnavailable`."""
    rows: dict[str, Sums] = {}
    for days in _parts(period):
        for found in await asyncio.gather(*(store.usage(by, day) for day in days)):
            for name, sums in found.items():
                rows[name] = rows.get(name, Sums()) + sums
    order = sorted(rows, key=lambda name: (-rows[name].cores, -rows[name].attempts, name))
    total = sum((rows[name] for name in order), Sums())
    return Usage(by=by, period=period, rows={name: rows[name] for name in order}, total=total)


def _parts(period: Period) -> list[range]:
    days = period.days()
    return [days[start : start + DAYS_AT_ONCE] for start in range(0, len(days), DAYS_AT_ONCE)]


def hours(seconds: float) -> str:
    """For a table: hours, with as many digits as say something."""
    number = seconds / HOUR
    digits = 0 if number >= 100 else 3 - max(0, math.floor(math.log10(number)) + 1) if number >= 0.001 else 3
    return f"{number:.{min(3, digits)}f}"
