"""What CPython's tests take of `test.support`, which is not part of all installations of Python."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHORT_TIMEOUT = 30.0  # s


def gc_collect() -> None:
    gc.collect()


@contextlib.contextmanager
def captured_stderr() -> Iterator[io.StringIO]:
    before, sys.stderr = sys.stderr, io.StringIO()
    try:
        yield sys.stderr
    finally:
        sys.stderr = before


def run_python(script: str) -> tuple[int, bytes, bytes]:
    """Exit code, stdout and stderr of a Python of its own, by whose exit code nothing failed."""
    done = subprocess.run(
        [sys.executable, "-c", _BY_VALUE + script],
        cwd=ROOT,
        capture_output=True,
        timeout=SHORT_TIMEOUT,
        check=True,
        env=dict(os.environ),
    )
    return done.returncode, done.stdout, done.stderr


# No agent has the module of the tests.
_BY_VALUE = """\
import cloudpickle, tests.cpython.concurrent_futures
cloudpickle.register_pickle_by_value(tests.cpython.concurrent_futures)
"""
