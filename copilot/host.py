"""What a host is: the facts that an agent tells about its machine, and how they are read."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from copilot.records import dataclass

MEBIBYTE = 1024 * 1024
KIBIBYTE = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """One machine. Memory and swap in MB, disk in kB (the report's units: 1024-based)."""

    hostname: str
    platform: str  # system and machine: "Linux-x86_64"
    uname: str  # release of the kernel
    memory_mb: int
    free_memory_mb: int  # what programs can get without swapping
    swap_mb: int
    free_swap_mb: int
    local_disk_kb: int  # free for us in the work directory
    cores: int  # that this process may use


def read_host(work_dir: Path) -> HostFacts:
    """The facts of this machine now; `work_dir` must exist. Raises OSError."""
    import psutil  # here, so that only agents load it

    system, memory, swap = os.uname(), psutil.virtual_memory(), psutil.swap_memory()
    return HostFacts(
        hostname=socket.gethostname(),
        platform=f"{system.sysname}-{system.machine}",
        uname=system.release,
        memory_mb=memory.total // MEBIBYTE,
        free_memory_mb=memory.available // MEBIBYTE,
        swap_mb=swap.total // MEBIBYTE,
        free_swap_mb=swap.free // MEBIBYTE,
        local_disk_kb=psutil.disk_usage(str(work_dir)).free // KIBIBYTE,
        cores=len(os.sched_getaffinity(0)),
    )
