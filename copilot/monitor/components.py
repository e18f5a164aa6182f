"""What each component said last, and when: the managers' health on the dashboard.

Bounded however many names and events come in. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import field

from copilot.monitor.board import ComponentRow
from copilot.records import dataclass
from copilot.runtime.readings import SYSTEM_EVERY

SILENT_AFTER = 3 * SYSTEM_EVERY  # s
FORGOTTEN_AFTER = 24 * 3600.0  # s of silence
MOST_COMPONENTS = 1_000  # managers, and so many others
MOST_EVENTS = 200  # values of one component, and so many counts


@dataclass(slots=True)
class _Heard:
    when: float
    values: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


class Components:
    """Those that report. Managers are kept apart, so that no number of agents can push them out."""

    def __init__(self) -> None:
        self._managers: OrderedDict[str, _Heard] = OrderedDict()
        self._others: OrderedDict[str, _Heard] = OrderedDict()

    def value(self, name: str, event: str, value: float, now: float, *, manager: bool) -> None:
        """It has said what something is now."""
        values = self._heard(name, now, manager=manager).values
        if event in values or len(values) < MOST_EVENTS:
            values[event] = value

    def count(self, name: str, event: str, count: int, now: float, *, manager: bool) -> None:
        """It has said that something happened so many times."""
        counts = self._heard(name, now, manager=manager).counts
        if event in counts or len(counts) < MOST_EVENTS:
            counts[event] = counts.get(event, 0) + count

    def rows(self, now: float) -> tuple[ComponentRow, ...]:
        """Managers first, each kind by name. Who has said nothing for a day is forgotten."""
        return tuple(
            ComponentRow(
                name=name,
                heard=heard.when,
                silent=now - heard.when > SILENT_AFTER,
                values=dict(heard.values),
                counts=dict(heard.counts),
            )
            for kind in (self._managers, self._others)
            for name, heard in sorted(kind.items())
            if now - heard.when < FORGOTTEN_AFTER
        )

    def _heard(self, name: str, now: float, *, manager: bool) -> _Heard:
        kind = self._managers if manager else self._others
        heard = kind.setdefault(name, _Heard(now))
        heard.when = now
        kind.move_to_end(name)
        if len(kind) > MOST_COMPONENTS:
            kind.popitem(last=False)
        return heard
