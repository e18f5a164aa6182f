"""The text of a status, there and back."""

from __future__ import annotations

import os

import pytest

from copilot.heartbeat.status import STATUSES, read, written
from copilot.protocol.rules import STATUS_COMPONENTS


def test_there_are_those_of_the_report() -> None:
    assert tuple(STATUSES) == STATUS_COMPONENTS


@pytest.mark.parametrize("name", STATUSES)
def test_what_this_machine_tells_can_be_read(name: str) -> None:
    status = STATUSES[name]
    rows = status.gather()
    assert read(status, written(rows)) == rows
    assert rows or name == "diskUsage"  # a container may have no disk


def test_the_load_is_three_numbers() -> None:
    ((one, five, fifteen),) = STATUSES["systemLoad"].gather()
    assert abs(float(one) - os.getloadavg()[0]) < 5
    assert float(five) >= 0
    assert float(fifteen) >= 0


def test_a_text_may_have_blanks_but_no_lines() -> None:
    status = STATUSES["runningProcesses"]
    text = written([("1.0", "2.0", "3", "4", "tmux:\nserver")])
    assert read(status, text) == [("1.0", "2.0", "3", "4", "tmux: server")]


@pytest.mark.parametrize("text", ["1 2", "a b c", "1 2 3 4\n1", "nan 1 1", "1 inf 1"])
def test_what_is_no_such_status_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(STATUSES["systemLoad"], text)


def test_an_answer_is_cut_and_cannot_move_the_cursor() -> None:
    status = STATUSES["memoryUsage"]
    rows = read(status, f"1 2 \x1b[2J{'x' * 500}\n" * 1000)
    assert len(rows) == 200
    assert rows[0][2].startswith("?[2J")
    assert len(rows[0][2]) == 120
