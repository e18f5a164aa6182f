"""What all peers have in common: the clock, the rounds, and an end that leaves no process behind.

    python -m bench.peers.<peer> --jobs 1000 [--rounds 1]

prints one JSON object a line for each round of each job. `python -m bench.peers.run` does that for all of them.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from bench.peers import jobs
from bench.peers.jobs import Outcome

SLOTS = 2
LIMIT_S = 120.0  # for one batch; what takes longer has failed
GRACE_S = 10.0
WARM_UP = 100

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h

# Submits all at once, waits for all; outcomes in the order of submission.
Submit = Callable[[Sequence[str | None]], Sequence[Outcome]]


def main(
    peer: str, *, version: str, durability: str, start: Callable[[], AbstractContextManager[Submit]]
) -> None:
    """The command of one peer: `start` brings up its workers and, at the end, takes them down."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    named = {"peer": peer, "version": version, "durability": durability, "jobs": options.jobs}
    with _no_orphans(), start() as submit:
        for kind in jobs.KINDS:
            _measure(submit, kind, min(options.jobs, WARM_UP))
        for _ in range(options.rounds):
            for kind in jobs.KINDS:
                seconds = _measure(submit, kind, options.jobs)
                print(json.dumps(named | {"job": kind, "seconds": seconds}), flush=True)


@contextlib.contextmanager
def python_module(*argv: str) -> Iterator[None]:
    """A peer's worker command as a child, `python -m argv…`; what it says goes where our errors go."""
    process = subprocess.Popen([sys.executable, "-m", *argv], stdin=subprocess.DEVNULL, stdout=sys.stderr)
    try:
        yield
    finally:
        process.terminate()
        process.wait(GRACE_S)


def _measure(submit: Submit, kind: str, count: int) -> float:
    """Seconds from the first submission until the last result is checked."""
    batch = jobs.batch(kind, count)
    began = time.perf_counter()
    jobs.check(kind, submit(batch), count)
    return time.perf_counter() - began


@contextlib.contextmanager
def _no_orphans() -> Iterator[None]:
    """Whatever is started within is gone afterwards, also when we are told to stop or our parent dies.

    Peers start servers that start workers, some in sessions of their own. As the reaper of them all we inherit
    every one whose parent ends before it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        while children := _children():
            for child in children:
                os.kill(child, signal.SIGKILL)
            for child in children:
                with contextlib.suppress(ChildProcessError):  # a thread of the peer's has reaped it
                    os.waitpid(child, 0)


def _children() -> list[int]:
    """Our children, those that have ended included until they are waited for."""
    return [
        int(pid) for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()
    ]
