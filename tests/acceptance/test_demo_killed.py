"""`copilot demo` while somebody kills its processes with SIGKILL: it prints 4 all the same and leaves nothing running.

Moments are conditions, never times: a line that the demo has printed, or how much all its programs have logged.
`KILLS=100` makes a hundred random kills instead of one; `KILL_SEED=…` repeats those of a run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance.running import LIMIT_S, Up, gone, packed, run, script, started, until
from tests.acceptance.test_demo import CALCULATOR
from tests.patience import PATIENCE_S

log = logging.getLogger(__name__)

KILLS = int(os.environ.get("KILLS", "1"))
LOGGED = 6_000  # bytes that the programs of an undisturbed demo have logged in the end, roughly

# What a command line must show; the guard is a fork of the agent, so it has the agent's.
KINDS: dict[str, Callable[[psutil.Process], bool]] = {
    "prosody": lambda process: "prosody.cfg.lua" in line(process),
    "redis": lambda process: "redis.conf" in line(process) or "redis-server 127.0.0.1:" in line(process),
    "fileserver": lambda process: "copilot-fileserver" in line(process),
    "jobmanager": lambda process: "copilot-jobmanager" in line(process),
    "storagemanager": lambda process: "copilot-storagemanager" in line(process),
    "agent": lambda process: "copilot-agent" in line(process) and process.name() != "copilot-guard",
    "guard": lambda process: process.name() == "copilot-guard",
    "payload": lambda process: process.cwd().endswith("/payload"),
    "submit": lambda process: "copilot-job-submit" in line(process),
}
LASTING = tuple(kind for kind in KINDS if kind not in ("payload", "submit"))  # till the demo stops everything


def line(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


class Demo:
    """A demonstration that runs, in a directory of the test's own."""

    def __init__(self, process: subprocess.Popen[bytes], place: Path) -> None:
        self.process = process
        self._place = place

    def said(self) -> str:
        return (self._place / "out").read_text()

    def logged(self) -> int:
        """Bytes in the logs of all its programs."""
        size = 0
        for log in self._place.glob("copilot-demo-*/*/*.log"):
            with contextlib.suppress(FileNotFoundError):  # tidied up, or started again, meanwhile
                size += log.stat().st_size
        return size

    def says(self, text: str) -> None:
        """Return when it has said that, in capitals or not."""
        until(lambda: text.lower() in self.said().lower() or self.process.poll() is not None, text)
        assert text.lower() in self.said().lower(), self.said()

    def kill(self, kind: str) -> None:
        """Kill a process of that kind as soon as there is one."""
        pid = until(lambda: self.find(kind) or self._ended(kind), kind)
        os.kill(pid, signal.SIGKILL)

    def find(self, kind: str) -> int | None:
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if KINDS[kind](process):
                    return process.pid
        return None

    def _ended(self, kind: str) -> None:
        assert self.process.poll() is None, f"it ended without {kind}\n{self.said()}"

    def prints_4_and_leaves_nothing(self, limit_s: float = LIMIT_S) -> None:
        assert self.process.wait(limit_s) == 0, self.said()
        assert re.search(r"^The job printed:\n4$", self.said(), re.MULTILINE), self.said()
        assert self.said().endswith("Nothing is left running.\n")
        until(lambda: gone(self._place), "the end of all processes")


@contextlib.contextmanager
def demo(place: Path, command: Path = CALCULATOR) -> Iterator[Demo]:
    with started("copilot", "demo", command, output=place / "out", TMPDIR=str(place)) as process:
        yield Demo(process, place)


@pytest.fixture
def held(place: Path) -> Path:
    """A job that makes a file `begun` beside it, and prints 4, but not before there is a file `go`."""
    place.chmod(0o777)
    text = f"touch {place}/begun\nuntil [ -e {place}/go ]; do sleep 0.05; done\necho 4"
    return script(place / "held.sh", text)


@pytest.mark.parametrize("kind", ["prosody", "redis", "jobmanager", "agent"])
def test_what_is_killed_before_it_was_ready(place: Path, kind: str) -> None:
    with demo(place) as running:
        running.kill(kind)
        running.prints_4_and_leaves_nothing()
    assert re.search(rf"(?i)\] {kind}(-1)? is started again in \d\.\d s", running.said()), running.said()


def test_all_that_serve_are_killed_one_after_the_other_while_the_job_runs(place: Path, held: Path) -> None:
    with demo(place, held) as running:
        running.says(": running")
        for kind in ("prosody", "redis", "fileserver", "jobmanager", "storagemanager"):
            running.kill(kind)
            running.says(f"{kind} runs again")
        (place / "go").touch()
        running.prints_4_and_leaves_nothing()


@pytest.mark.parametrize("kind", ["agent", "guard", "payload", "submit"])
def test_what_is_killed_that_has_to_do_with_the_job_while_it_runs(place: Path, held: Path, kind: str) -> None:
    with demo(place, held) as running:
        running.says(": running")
        running.kill(kind)
        (place / "go").touch()
        running.prints_4_and_leaves_nothing()


# A job that was handed out in the very moment is only given to somebody again after the dispatch limit, a minute.
AFTER_DISPATCH_LIMIT_S = 60.0 + PATIENCE_S


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("text", "kind"),
    [(": submitted", "redis"), (": handed to", "prosody"), (": done", "jobmanager"), ("Stopping", "redis")],
)
def test_what_is_killed_while_somebody_waits_for_its_answer(place: Path, text: str, kind: str) -> None:
    with demo(place) as running:
        running.says(text)
        running.kill(kind)
        running.prints_4_and_leaves_nothing(AFTER_DISPATCH_LIMIT_S)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("number", range(KILLS))
def test_what_is_killed_at_random(place: Path, number: int) -> None:
    seed = int(os.environ.get("KILL_SEED", random.SystemRandom().randrange(2**32)))
    chance = random.Random(seed + number)
    kind, size = chance.choice(LASTING), chance.randrange(LOGGED)
    log.warning("KILL_SEED=%d KILLS=1 kills %s after %d bytes of logs", seed + number, kind, size)
    with demo(place) as running:
        until(lambda: running.logged() >= size or "Stopping" in running.said(), f"{size} bytes of logs")
        if "Stopping" not in running.said():
            running.kill(kind)
        running.prints_4_and_leaves_nothing(AFTER_DISPATCH_LIMIT_S)


def test_the_demo_itself_leaves_nothing_running_when_it_is_killed_and_prints_4_the_next_time(
    place: Path, held: Path
) -> None:
    with demo(place, held) as running:
        running.says(": running")
        running.process.kill()
        running.process.wait()
        until(lambda: gone(place), "the end of all processes")
    assert "The job printed:\n4\n" in run("copilot", "demo", CALCULATOR, TMPDIR=str(place)).stdout


def test_a_system_that_is_killed_and_started_again_at_once_finishes_what_it_had_acknowledged(
    up: Up, held: Path
) -> None:
    with up.running() as process:
        assert up.submit(held, "--id", "acknowledged").returncode == 0
        until(held.with_name("begun").exists, "the job")
        process.kill()
        process.wait()
    held.with_name("go").touch()
    with up.running():
        until(lambda: up.record("acknowledged").published, "the result")
    output = up.directory / "done" / "acknowledged" / "acknowledged.tgz"
    assert packed({"id": "acknowledged", "output": output})["stdout"] == "4\n"
