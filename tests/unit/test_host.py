"""Reading the facts of the machine that the tests run on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from copilot.host import read_host


def test_the_facts_are_those_of_this_machine(tmp_path: Path) -> None:
    facts = read_host(tmp_path)
    assert facts.platform == f"{platform.system()}-{platform.machine()}"
    assert facts.uname == platform.release()
    assert facts.hostname == platform.node()
    assert facts.cores == len(os.sched_getaffinity(0))


def test_memory_is_in_megabytes_and_disk_in_kilobytes(tmp_path: Path) -> None:
    facts = read_host(tmp_path)
    meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    assert facts.memory_mb == int(meminfo["MemTotal"].split()[0]) // 1024
    assert facts.swap_mb == int(meminfo["SwapTotal"].split()[0]) // 1024
    assert 0 < facts.free_memory_mb <= facts.memory_mb
    assert 0 <= facts.free_swap_mb <= facts.swap_mb
    disk = os.statvfs(tmp_path)
    assert 0 < facts.local_disk_kb <= disk.f_blocks * disk.f_frsize // 1024
