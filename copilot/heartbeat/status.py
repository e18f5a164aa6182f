"""What a status says: rows of numbers and names, as the text of `haveStatus` (protocol page) and back.

One row a line; its values separated by blanks, numbers first; the last text goes to the end of the line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from copilot import hostload
from copilot.records import dataclass

MOST_ROWS = 200  # that are read of an answer
LONGEST_VALUE = 120  # characters that are shown of one

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One `component` of `Heartbeat:getStatus`. The last `texts` columns are text, and only the last one may have blanks."""

    name: str
    columns: tuple[str, ...]
    texts: int
    gather: Callable[[], list[Row]]


def _load() -> list[Row]:
    load = hostload.load()
    return [tuple(f"{value:.2f}" for value in (load.one, load.five, load.fifteen))]


def _disks() -> list[Row]:
    return [
        (str(disk.used), str(disk.available), str(disk.size), disk.device.replace(" ", "_"), disk.path)
        for disk in hostload.disks()
    ]


def _memory() -> list[Row]:
    names = {"mem": "memory"}
    return [
        (str(part.used), str(part.available), names.get(part.name, part.name)) for part in hostload.memory()
    ]


def _processes() -> list[Row]:
    return [
        (f"{one.cpu:.1f}", f"{one.memory:.1f}", str(one.rss), str(one.cpu_seconds), one.name)
        for one in hostload.processes()
    ]


STATUSES: Mapping[str, Status] = {
    status.name: status
    for status in (
        Status(name="systemLoad", columns=("1min", "5min", "15min"), texts=0, gather=_load),
        Status(
            name="diskUsage",
            columns=("Used MB", "Available MB", "Size MB", "Device", "Mounted on"),
            texts=2,
            gather=_disks,
        ),
        Status(name="memoryUsage", columns=("Used MB", "Available MB", "Kind"), texts=1, gather=_memory),
        Status(
            name="runningProcesses",
            columns=("%CPU", "%Mem", "RSS MB", "CPU s", "Command"),
            texts=1,
            gather=_processes,
        ),
    )
}


def written(rows: Sequence[Row]) -> str:
    """The rows as the text of a status."""
    return "\n".join(" ".join(" ".join(value.split()) or "-" for value in row) for row in rows)


def read(status: Status, text: str) -> list[Row]:
    """The rows of an answer. What somebody else has written is cut to what fits, and never trusted to be printable.

    Raises ValueError if it is no such status.
    """
    rows = []
    for line in text.splitlines()[:MOST_ROWS]:
        values = line.split(None, len(status.columns) - 1)
        if len(values) != len(status.columns):
            raise ValueError(f"expected {len(status.columns)} values in each line of {status.name}")
        for value in values[: len(values) - status.texts]:
            if not math.isfinite(float(value)):  # JSON has no word for it
                raise ValueError(f"expected numbers in {status.name}, not {value[:LONGEST_VALUE]!r}")
        rows.append(tuple(_printable(value)[:LONGEST_VALUE] for value in values))
    return rows


def _printable(value: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in value)
