"""Reading the process table. Stopping real strays is in tests/integration/test_processes.py."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

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


def test_a_process_that_is_becoming_another_program_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = strays.Process(pid=4711, parent=1, session=4711, started=5, zombie=False)
    environments = iter([b"", f"A=b\0{strays.TOKEN_VARIABLE}=t".encode()])
    monkeypatch.setattr(strays, "process_table", lambda: [process])
    monkeypatch.setattr(strays, "_environment", lambda _: next(environments))
    assert strays._members("t", None, 0) == {4711}


def test_a_process_that_has_no_environment_at_all_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    process = strays.Process(pid=4711, parent=1, session=4711, started=5, zombie=False)
    monkeypatch.setattr(strays, "process_table", lambda: [process])
    monkeypatch.setattr(strays, "_environment", lambda _: b"")
    assert strays._members("t", None, 0) == set()


def test_children_with_a_word_in_their_environment_are_ended_and_no_others() -> None:
    marked, other = (
        subprocess.Popen(["sleep", "60"], env={**os.environ, "COPILOT_TEST_MARK": value}) for value in "ab"
    )
    try:
        for one in (
            marked,
            other,
        ):  # Popen returns when exec has begun: the kernel tells the environment a moment later
            while b"COPILOT_TEST_MARK=" not in Path(f"/proc/{one.pid}/environ").read_bytes():
                pass
        strays.end_children_with(b"COPILOT_TEST_MARK=a")
        assert not Path(f"/proc/{marked.pid}").exists()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
        marked.wait()
