"""Work Queue of the Cooperative Computing Tools: its C library in the submitter, one worker of two cores.

As with the other peers, the worker is sent more than it can run at once, so that its cores need not wait for the
manager; it keeps what has no core yet.

The library is the one that its own Python package calls; that package is not published where pip finds it, so we
call the dozen functions ourselves.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.peers import harness
from bench.peers.jobs import SHELL, TRUE, Outcome

WORKER = os.environ["WORK_QUEUE_WORKER"]
NO_CACHE = 0  # WORK_QUEUE_NOCACHE: an input of one task alone
ANY_PORT = -1
POLL_S = 1
PREFETCH = 16.0  # more brings nothing here


class Task(ctypes.Structure):
    """The begin of `struct work_queue_task` in work_queue.h."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("command_line", ctypes.c_char_p),
        ("algorithm", ctypes.c_int),
        ("output", ctypes.c_char_p),
        ("input_files", ctypes.c_void_p),
        ("output_files", ctypes.c_void_p),
        ("environment", ctypes.c_void_p),
        ("identifier", ctypes.c_int),
        ("return_status", ctypes.c_int),
        ("result", ctypes.c_int),
    )


def load() -> ctypes.CDLL:
    """The library with the types of what we call."""
    library = ctypes.CDLL(os.environ["WORK_QUEUE_LIBRARY"])
    queue, task, text, integer = ctypes.c_void_p, ctypes.POINTER(Task), ctypes.c_char_p, ctypes.c_int
    functions: tuple[tuple[str, Any, Sequence[Any]], ...] = (
        ("create", queue, [integer]),
        ("delete", None, [queue]),
        ("port", integer, [queue]),
        ("specify_password_file", integer, [queue, text]),
        ("submit", integer, [queue, task]),
        ("wait", task, [queue, integer]),
        ("task_create", task, [text]),
        ("task_delete", None, [task]),
        ("task_specify_buffer", integer, [task, text, integer, text, integer]),
        ("task_specify_cores", None, [task, integer]),
        ("tune", integer, [queue, text, ctypes.c_double]),
    )
    for name, result, arguments in functions:
        function = library[f"work_queue_{name}"]
        function.restype, function.argtypes = result, arguments
        setattr(library, name, function)  # under its short name
    return library


@contextlib.contextmanager
def start() -> Iterator[harness.Submit]:
    """The queue listens on all addresses, so it wants a password."""
    password = Path("password").absolute()
    password.write_text(os.urandom(32).hex())
    library = load()
    if not (queue := library.create(ANY_PORT)):
        raise RuntimeError("Work Queue found no free port.")
    library.specify_password_file(queue, os.fsencode(password))
    library.tune(queue, b"asynchrony-modifier", PREFETCH)
    address = ["127.0.0.1", str(library.port(queue))]
    limits = [f"--cores={harness.SLOTS}", f"--password={password}", f"--workdir={Path.cwd()}"]
    worker = subprocess.Popen([WORKER, *limits, *address], stdin=subprocess.DEVNULL, stdout=sys.stderr)
    try:
        yield lambda batch: _run(library, queue, batch)
    finally:
        worker.terminate()
        worker.wait(harness.GRACE_S)
        library.delete(queue)


def _run(library: ctypes.CDLL, queue: int, batch: Sequence[str | None]) -> list[Outcome]:
    numbers = {library.submit(queue, _task(library, script)): number for number, script in enumerate(batch)}
    outcomes: dict[int, Outcome] = {}
    deadline = time.monotonic() + harness.LIMIT_S
    while len(outcomes) < len(batch):
        if task := library.wait(queue, POLL_S):
            outcomes[numbers[task.contents.identifier]] = _outcome(task.contents)
            library.task_delete(task)
        elif time.monotonic() > deadline:
            raise RuntimeError(f"Work Queue has no result of {len(batch) - len(outcomes)} jobs.")
    return [outcomes[number] for number in range(len(batch))]


def _task(library: ctypes.CDLL, script: str | None) -> ctypes._Pointer[Task]:
    task: ctypes._Pointer[Task] = library.task_create(
        os.fsencode(TRUE if script is None else f"{SHELL} script")
    )
    library.task_specify_cores(task, 1)
    if script is not None:
        library.task_specify_buffer(task, script.encode(), len(script.encode()), b"script", NO_CACHE)
    return task


def _outcome(task: Task) -> Outcome:
    if task.result:
        raise RuntimeError(f"Work Queue could not run job {task.identifier}: result {task.result}")
    return task.return_status, (task.output or b"").decode()


def version() -> str:
    """As the worker says it: `work_queue_worker version 7.1.2 FINAL (released …`."""
    said = subprocess.run([WORKER, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (.+?) \(", said)
    return found[1] if found else said.partition("\n")[0]


if __name__ == "__main__":
    harness.main("work_queue", version=version(), durability="memory only", start=start)
