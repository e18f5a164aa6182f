"""The state of this machine, as far as it can be known without another source."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from copilot import hostload


def test_each_disk_is_there_once_with_a_plain_name() -> None:
    disks = hostload.disks()
    assert len({disk.device for disk in disks}) == len(disks)
    for disk in disks:
        assert "/" not in disk.name
        assert Path(disk.path).is_dir()
        assert 0 <= disk.used + disk.available <= disk.size


def test_memory_and_swap() -> None:
    main, swap = hostload.memory()
    assert (main.name, swap.name) == ("mem", "swap")
    assert main.used > 0
    assert main.available > 0


def test_the_loopback_is_no_traffic() -> None:
    assert "lo" not in {one.interface for one in hostload.traffic()}


def test_the_biggest_processes_come_first_by_their_names_alone() -> None:
    secret = "a-secret-argument"
    script = "import sys\nwhile True: sys.stdout.write('.'); sys.stdout.flush()"
    with subprocess.Popen([sys.executable, "-c", script, secret], stdout=subprocess.PIPE) as busy:
        assert busy.stdout is not None
        busy.stdout.read(1000)
        found = hostload.processes(5)
        busy.kill()
    assert 0 < len(found) <= 5
    assert found == sorted(found, key=lambda one: (-one.cpu, -one.rss))
    assert secret not in repr(hostload.processes(10_000))


def test_the_load_is_that_of_the_system() -> None:
    assert abs(hostload.load().fifteen - os.getloadavg()[2]) < 1


def test_psutil_is_loaded_only_when_asked() -> None:
    text = "import sys, copilot.hostload, copilot.heartbeat.service; print('psutil' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False"]
