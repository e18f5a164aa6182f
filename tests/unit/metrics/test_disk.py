"""What is left on disks, those that hang included."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from copilot.metrics import disk as module
from copilot.metrics.disk import FRESH, Disk
from tests.patience import PATIENCE_S


async def test_the_numbers_are_those_of_the_system_by_the_word_of_the_directory(tmp_path: Path) -> None:
    disk = Disk({"work": tmp_path, "files": tmp_path / "not there"}, lambda: 100.0)
    await disk.refresh()
    facts = shutil.disk_usage(tmp_path)
    assert disk.size == {"work": facts.total}
    assert disk.free["work"] == pytest.approx(facts.free, rel=0.05)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, list[int]]]:
    """Disks that do not answer before the event is set; and how often they were asked."""
    answer, asked, really = threading.Event(), list[int](), module._look

    def look(directories: Mapping[str, Path]) -> Any:
        asked.append(1)
        answer.wait(PATIENCE_S)
        return really(directories)

    monkeypatch.setattr(module, "_look", look)
    yield answer, asked
    answer.set()


async def test_a_disk_that_hangs_is_missing_and_is_not_asked_again_before_it_has_answered(
    tmp_path: Path, hanging: tuple[threading.Event, list[int]]
) -> None:
    answer, asked = hanging
    now = 100.0
    disk = Disk({"work": tmp_path}, lambda: now, answer_within=0.01)
    for _ in range(3):
        await disk.refresh()
        now += FRESH
    assert (disk.free, disk.size, len(asked)) == ({}, {}, 1)
    answer.set()
    disk._answer_within = 10.0
    await disk.refresh()
    assert disk.free.keys() == {"work"}
    await disk.refresh()
    assert len(asked) == 2


async def test_it_is_asked_now_and_then(tmp_path: Path, hanging: tuple[threading.Event, list[int]]) -> None:
    answer, asked = hanging
    answer.set()
    now = 100.0
    disk = Disk({"work": tmp_path}, lambda: now)
    for wait in (0.0, FRESH - 0.1, 0.1):
        now += wait
        await disk.refresh()
    assert len(asked) == 2
