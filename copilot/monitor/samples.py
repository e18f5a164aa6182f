"""What happened in one interval, as the lines that Carbon gets at its end (report, sections 2.2.5 and 2.3.1).

    copilot.jobmanager.generic.one.job.succeeded 3 1313085190

Times are whole seconds since the epoch, durations are milliseconds. `take` says when its interval ended; nothing here
looks at a clock.
"""

from __future__ import annotations

from copilot.runtime.durations import Durations

START, END = "start", "end"
DERIVED = ("avg", "gmean", "min", "max", "count", START, END)  # what becomes of a duration


class Samples:
    """Events and durations since the last `take`, by their paths."""

    def __init__(self) -> None:
        self._events: dict[str, int] = {}
        self._durations: dict[str, Durations] = {}
        self._tell_own: set[str] = set()  # durations whose start or end is reported as an event

    def event(self, path: str, count: int) -> None:
        """It happened `count` times."""
        self._events[path] = self._events.get(path, 0) + count
        of, _, last = path.rpartition(".")
        if last in (START, END):
            self._tell_own.add(of)

    def durations(self, path: str, durations: Durations) -> None:
        """It took so long."""
        before = self._durations.get(path)
        self._durations[path] = durations if before is None else before + durations

    def take(self, time: int) -> list[str]:
        """The lines of the interval that ends at `time`, and begin the next one. What did not happen has no line."""
        events, self._events = self._events, {}
        durations, self._durations = self._durations, {}
        lines = [line(path, count, time) for path, count in events.items() if count]
        for path, of in durations.items():
            lines += [line(f"{path}.{name}", value, time) for name, value in self._derived(path, of)]
        return lines

    def _derived(self, path: str, of: Durations) -> list[tuple[str, float]]:
        derived: list[tuple[str, float]] = [
            ("avg", of.mean),
            ("gmean", of.geometric_mean),
            ("min", of.shortest),
            ("max", of.longest),
            ("count", of.count),
        ]
        if path not in self._tell_own:
            derived += [(START, of.count), (END, of.count)]
        return derived


def line(path: str, value: float, time: int) -> str:
    """One point in Carbon's plain text."""
    return f"{path} {value!r} {time}"
