"""Limits that the kernel keeps for each process (getrlimit(2)): always there, and inherited by all that a payload starts.

They hold single processes, so most of them are a second line: what a job may use in all is kept by a control group or by the
watcher.
"""

from __future__ import annotations

import math
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from copilot.job import Limits
from copilot.records import dataclass

CPU_GRACE = 5  # s between SIGXCPU and SIGKILL
_BLOCK = 512  # bytes; what `ulimit -f` counts in (POSIX)
_KIBIBYTE = 1024
# A process that asks for far more memory than its job may have gets none: the watcher looks only so often.
_DATA_FACTOR, _DATA_MORE = 2, 64 * 1024 * 1024
_ROOM = 1024  # processes and threads that others may start meanwhile
PROCESSES_OF_OURS = 4  # what starts a payload counts, too


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLimits:
    """Numbers for setrlimit(2); None: as the agent's own."""

    cpu: int | None = None  # s
    data: int | None = None  # bytes
    file_size: int | None = None  # bytes
    open_files: int | None = None
    processes: int | None = None

    @classmethod
    def of(cls, limits: Limits, *, data: bool, processes: bool) -> ProcessLimits:
        """Those of a job. `data`: memory is not held otherwise; `processes`: the kernel counts those of this job alone. Else it counts
        all of the user's, and what holds is far from the limit: enough that some room is left for others.
        """
        memory, tasks = limits.memory, limits.processes
        return cls(
            cpu=None if limits.cpu_time is None else math.ceil(limits.cpu_time),
            data=memory * _DATA_FACTOR + _DATA_MORE if data and memory is not None else None,
            file_size=limits.file_size,
            open_files=limits.open_files,
            processes=None
            if tasks is None
            else tasks + (PROCESSES_OF_OURS if processes else tasks_now() + _ROOM),
        )

    def shell(self) -> str:
        """Text for a shell that sets them for itself, and ends with an error if it cannot."""
        lines = ["ulimit -c 0"]
        for name, unit, value in (
            ("f", _BLOCK, _below(resource.RLIMIT_FSIZE, self.file_size)),
            ("d", _KIBIBYTE, _below(resource.RLIMIT_DATA, self.data)),
            ("n", 1, _below(resource.RLIMIT_NOFILE, self.open_files)),
        ):
            if value is not None:
                lines.append(f"ulimit -{name} {math.ceil(value / unit)}")
        if (cpu := _below(resource.RLIMIT_CPU, self.cpu)) is not None:
            lines += [f"ulimit -S -t {cpu}", f"ulimit -H -t {_below(resource.RLIMIT_CPU, cpu + CPU_GRACE)}"]
        if (processes := _below(resource.RLIMIT_NPROC, self.processes)) is not None:
            lines.append(f"ulimit -u {processes} 2>/dev/null || ulimit -p {processes}")  # bash, dash
        return "\n".join(f"{{ {line}; }} || exit 125" for line in lines)

    def set_for(self, pid: int) -> None:
        """Set them for a process that was just started. One that is gone needs none."""
        with suppress(ProcessLookupError, PermissionError):
            for which, soft, hard in self._pairs():
                resource.prlimit(pid, which, (soft, hard))

    def _pairs(self) -> Iterator[tuple[int, int, int]]:
        yield resource.RLIMIT_CORE, 0, 0
        for which, value in (
            (resource.RLIMIT_FSIZE, self.file_size),
            (resource.RLIMIT_DATA, self.data),
            (resource.RLIMIT_NOFILE, self.open_files),
        ):
            if (number := _below(which, value)) is not None:
                yield which, number, number
        if (cpu := _below(resource.RLIMIT_CPU, self.cpu)) is not None:
            hard = _below(resource.RLIMIT_CPU, cpu + CPU_GRACE)
            assert hard is not None
            yield resource.RLIMIT_CPU, cpu, hard
        if (processes := _below(resource.RLIMIT_NPROC, self.processes)) is not None:
            yield resource.RLIMIT_NPROC, processes, processes


def tasks_now() -> int:
    """Processes and threads of this machine (proc(5), loadavg)."""
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return _ROOM


def _below(which: int, value: int | None) -> int | None:
    """`value`, unless the agent itself may not have so much."""
    if value is None:
        return None
    hard = resource.getrlimit(which)[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)
