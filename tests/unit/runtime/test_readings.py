"""The values of section 2.3.2 of the report, as this machine has them."""

from __future__ import annotations

import re

import pytest

from copilot import hostload
from copilot.host import MEBIBYTE
from copilot.hostload import Disk, Traffic
from copilot.job import JobSpec
from copilot.runtime.readings import queue_values, system_values
from copilot.store.memory import MemoryStore

PATHS = (
    r"system\.load\.(1|5|15)min",
    r"system\.disk\.(available|used)\.[A-Za-z0-9_-]+",
    r"system\.ram\.(available|used)\.(mem|swap)",
    r"system\.net\.(in|out)\.[A-Za-z0-9_-]+",
)


async def test_all_that_this_machine_says_stands_under_names_of_the_report() -> None:
    values = await system_values().read()
    assert [name for name in values if not any(re.fullmatch(path, name) for path in PATHS)] == []
    assert {"system.load.1min", "system.ram.available.mem", "system.ram.used.swap"} <= values.keys()
    assert values["system.ram.available.mem"] > 0


async def test_traffic_is_what_came_since_it_was_told_last(monkeypatch: pytest.MonkeyPatch) -> None:
    read, counters = system_values().read, [0, 5 * MEBIBYTE]
    monkeypatch.setattr(
        hostload, "traffic", lambda: [Traffic(interface="eth0", received=counters.pop(0), sent=0)]
    )
    assert (await read())["system.net.in.eth0"] == 0.0
    assert (await read())["system.net.in.eth0"] == 5.0


async def test_a_disk_whose_name_has_dots_is_one_part_of_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(device="/dev/mapper/vg.root", path="/", used=1, available=2, size=3)
    monkeypatch.setattr(hostload, "disks", lambda: [disk])
    assert (await system_values().read())["system.disk.used.mapper-vg_root"] == 1


async def test_the_length_of_the_queue_is_that_of_the_store() -> None:
    store = MemoryStore()
    await store.submit([JobSpec(id="one", command="run.sh"), JobSpec(id="two", command="run.sh")])
    assert await queue_values(store).read() == {"queued.Jobs": 2.0}
