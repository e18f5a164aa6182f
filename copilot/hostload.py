"""How a machine fares now: load, disks, memory, network, processes. Sizes in MB of 1024 * 1024 bytes, as in the report.

Reading takes milliseconds, the processes some dozen: not on the way of messages. psutil is loaded when first asked.
"""

from __future__ import annotations

import heapq
import os
import time

from copilot.host import MEBIBYTE
from copilot.patterns import pattern
from copilot.records import dataclass

MOST_PROCESSES = 20
_NAME = pattern(r"[^\x20-\x7e]")  # what is not printable ASCII; names of processes are anybody's


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Processes that run or want to, on average over the last minutes."""

    one: float
    five: float
    fifteen: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """One physical disk, or a part of it, that is mounted. `available` is what unprivileged programs can have."""

    device: str  # /dev/sda1
    path: str  # where it is mounted; the first place, if there are several
    used: int
    available: int
    size: int

    @property
    def name(self) -> str:
        """The device's name without its directory: `sda1`, `mapper-root`."""
        return self.device.removeprefix("/dev/").replace("/", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Main memory or swap. `available` is what programs can get without swapping."""

    name: str  # "mem" or "swap"
    used: int
    available: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Bytes that went through a network interface since the machine started."""

    interface: str
    received: int
    sent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningProcess:
    """One process. The name alone: command lines hold secrets."""

    cpu: float  # percent of one core, over its life
    memory: float  # percent of the main memory
    rss: int  # MB resident
    cpu_seconds: int
    name: str


def load() -> Load:
    """The load of this machine."""
    one, five, fifteen = os.getloadavg()
    return Load(one=one, five=five, fifteen=fifteen)


def disks() -> list[Disk]:
    """Physical disks, each device once, sorted by device; those that cannot be looked at are left out."""
    import psutil

    found: dict[str, Disk] = {}
    for part in psutil.disk_partitions(all=False):
        if part.device in found:
            continue
        try:
            usage = psutil.disk_usage(part.mountpoint)
        except OSError:
            continue
        if usage.total:
            found[part.device] = Disk(
                device=part.device,
                path=part.mountpoint,
                used=usage.used // MEBIBYTE,
                available=usage.free // MEBIBYTE,
                size=usage.total // MEBIBYTE,
            )
    return [found[device] for device in sorted(found)]


def memory() -> list[Memory]:
    """Main memory, then swap."""
    import psutil

    main, swap = psutil.virtual_memory(), psutil.swap_memory()
    return [
        Memory(name="mem", used=main.used // MEBIBYTE, available=main.available // MEBIBYTE),
        Memory(name="swap", used=swap.used // MEBIBYTE, available=swap.free // MEBIBYTE),
    ]


def traffic() -> list[Traffic]:
    """Interfaces that go somewhere, sorted by name; without the loopback."""
    import psutil

    counters = psutil.net_io_counters(pernic=True, nowrap=True)
    return [
        Traffic(interface=name, received=count.bytes_recv, sent=count.bytes_sent)
        for name, count in sorted(counters.items())
        if name != "lo"
    ]


def processes(most: int = MOST_PROCESSES) -> list[RunningProcess]:
    """The `most` processes that use most CPU, then memory, biggest first. Those of others count, too."""
    import psutil

    total, now = psutil.virtual_memory().total, time.time()
    found = []
    for process in psutil.process_iter(("name", "cpu_times", "memory_info", "create_time")):
        info = process.info
        times, size = info["cpu_times"], info["memory_info"]
        if times is None or size is None:
            continue
        seconds = times.user + times.system
        found.append(
            RunningProcess(
                cpu=round(100 * seconds / max(now - (info["create_time"] or now), 0.01), 1),
                memory=round(100 * size.rss / total, 1),
                rss=size.rss // MEBIBYTE,
                cpu_seconds=int(seconds),
                name=_NAME.sub("?", info["name"] or "?"),
            )
        )
    return heapq.nlargest(most, found, key=lambda process: (process.cpu, process.rss))
