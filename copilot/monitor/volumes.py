"""Room on disks and in the queue's memory, as the dashboard shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from copilot.host import MEBIBYTE
from copilot.monitor.board import ComponentRow, Volume
from copilot.store.survey import Load

# And the name of a disk; the value is in MB (report, 2.3.2).
USED, AVAILABLE = "system.disk.used.", "system.disk.available."
MOST = 100  # volumes


def volumes(components: Sequence[ComponentRow], load: Load | None) -> tuple[Volume, ...]:
    """The memory of the queue, if its limit is known, then the disks that components have reported, the fullest first."""
    disks = sorted((disk for one in components for disk in _disks(one)), key=_fullness, reverse=True)
    return (*_memory(load), *disks[:MOST])


def _memory(load: Load | None) -> Iterator[Volume]:
    if load is not None and load.limit:
        free = max(0, load.limit - load.used)
        yield Volume(name="memory", of="queue", used=load.used, available=free)


def _disks(component: ComponentRow) -> Iterator[Volume]:
    values = component.values
    for name in sorted(values):
        disk = name.removeprefix(USED)
        if disk != name and AVAILABLE + disk in values:
            used, available = values[name], values[AVAILABLE + disk]
            yield Volume(
                name=disk,
                of=component.name,
                used=round(used * MEBIBYTE),
                available=round(available * MEBIBYTE),
            )


def _fullness(volume: Volume) -> float:
    return volume.used / max(1, volume.used + volume.available)
