"""`copilot submit`, `jobs wait`, `jobs output` and `top` on a real system with a real agent; the rest stands in `tests/integration/test_command_line.py`."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

from copilot.local.system import command_path
from tests.acceptance.running import Up, run, script, until
from tests.patience import PATIENCE_S


def test_a_day_at_the_command_line(up: Up, tmp_path: Path) -> None:
    good = script(tmp_path / "good.sh", 'echo "sum $(($1 + $2))"')
    file = tmp_path / "job.yaml"
    file.write_text("command: good.sh\narguments: ['4', '5']\ntags: [night]\n")
    place = ("--config", up.etc)
    with up.running("--agents", 1):
        done = run("copilot", "submit", *place, "--id", "one", "--wait", good, 1, 2)
        assert (done.returncode, done.stdout.strip()) == (0, f"{up.directory}/done/one/one.tgz"), done.stderr
        assert run("copilot", "jobs", "output", *place, "one", "stdout").stdout == "sum 3\n"
        assert run("copilot", "submit", *place, "--id", "two", file).stdout == "two\n"
        assert run("copilot", "jobs", "wait", *place, "--tag", "night", "--timeout", "30s").returncode == 0
        assert run("copilot", "jobs", "output", *place, "two", "stdout").stdout == "sum 9\n"
        look_at_the_top_and_quit(up)


def look_at_the_top_and_quit(up: Up) -> None:
    """`copilot top` on a terminal shows the agents, and ends with 0 when somebody types q."""
    ours, theirs = pty.openpty()
    argv = [str(command_path("copilot")), "top", "--config", str(up.etc)]
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        said = b""

        def has_drawn() -> bool:
            nonlocal said
            said += os.read(ours, 65536)
            return b"q ends" in said and b"AGENT" in said  # which may come in two pieces

        until(has_drawn, "the first picture")
        os.write(ours, b"q")
        os.set_blocking(ours, False)
        assert process.wait(PATIENCE_S) == 0, said
    os.close(ours)
