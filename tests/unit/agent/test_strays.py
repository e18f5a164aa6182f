"""Reading the process table. Stopping real strays is in tests/integration/test_processes.py."""

from __future__ import annotations

import os
from pathlib import Path

from copilot.agent import strays


def test_this_process_is_in_the_table() -> None:
    own = next(process for process in strays.process_table() if process.pid == os.getpid())
    assert own.parent == os.getppid()
    assert own.session == os.getsid(0)
    assert not own.zombie
    assert own.started <= strays.ticks_now() + 1


def test_a_programs_name_cannot_disguise_its_line() -> None:
    line = Path("/proc/self/stat").read_bytes()
    honest = strays._parse(1, line)
    name = line[line.index(b"(") + 1 : line.rindex(b")")]
    assert strays._parse(1, line.replace(name, b"x) Z 1 1 1 (", 1)) == honest


def test_stopping_an_attempt_that_left_nothing_stops_nothing() -> None:
    assert strays.stop("a token that no process has") == 0
