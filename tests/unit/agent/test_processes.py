"""How an exit is told. What needs real processes is in tests/integration/test_processes.py."""

from __future__ import annotations

import signal

from copilot.agent.processes import Exit


def test_the_shells_code_is_the_exit_code_or_128_and_the_signal() -> None:
    assert Exit(code=7, signal=None, limited=False, strays=0, seconds=1.0).shell_code == 7
    assert Exit(code=0, signal=None, limited=False, strays=0, seconds=1.0).shell_code == 0
    killed = Exit(code=None, signal=signal.SIGTERM, limited=True, strays=0, seconds=1.0)
    assert killed.shell_code == 143
