"""Values that a component tells the monitor: how its machine fares, and how long the queue is (report, section 2.3.2)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from copilot import hostload
from copilot.host import MEBIBYTE
from copilot.runtime.reports import Values

if TYPE_CHECKING:  # an agent, which reports as well, has no queue: 13 modules
    from copilot.store.base import Store

SYSTEM_EVERY = 60.0  # s, as in 2011
QUEUE_EVERY = 10.0  # s
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")  # in one part of a metric's path


def system_values() -> Values:
    """Load, disks, memory and network of this machine."""
    return Values(every=SYSTEM_EVERY, read=_System().read)


def queue_values(store: Store) -> Values:
    """How many jobs wait."""

    async def read() -> Mapping[str, float]:
        return {"queued.Jobs": float(await store.waiting())}

    return Values(every=QUEUE_EVERY, read=read)


class _System:
    """Sizes are in MB; what went through the network is counted since it was read last."""

    def __init__(self) -> None:
        self._before: dict[str, hostload.Traffic] = {}

    async def read(self) -> Mapping[str, float]:
        return await asyncio.to_thread(self._read)

    def _read(self) -> Mapping[str, float]:
        load = hostload.load()
        values = {"1min": load.one, "5min": load.five, "15min": load.fifteen}
        found = {f"system.load.{name}": value for name, value in values.items()}
        for disk in hostload.disks():
            found[f"system.disk.available.{_safe(disk.name)}"] = disk.available
            found[f"system.disk.used.{_safe(disk.name)}"] = disk.used
        for part in hostload.memory():
            found[f"system.ram.available.{part.name}"] = part.available
            found[f"system.ram.used.{part.name}"] = part.used
        for now in hostload.traffic():
            before = self._before.get(now.interface, now)
            self._before[now.interface] = now
            found[f"system.net.in.{_safe(now.interface)}"] = (now.received - before.received) / MEBIBYTE
            found[f"system.net.out.{_safe(now.interface)}"] = (now.sent - before.sent) / MEBIBYTE
        return found


def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name)
