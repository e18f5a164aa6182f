"""Parsl: bash apps on the HighThroughputExecutor, two workers started by the LocalProvider.

The function of a bash app runs in the worker: there it makes the job's directory, writes the script and says what
bash shall run. Standard output goes into a file that the submitter reads, as Parsl's users have it. As its
documentation says for many short tasks, the workers' manager takes more than it can run at once.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import parsl
from parsl.providers import LocalProvider

from bench.peers import harness
from bench.peers.jobs import SHELL, TRUE, Outcome

LOOPBACK = "127.0.0.1"
PREFETCH = 64


@parsl.bash_app
def true(command: str) -> str:
    """A process, no more."""
    return f"exec {command}"


@parsl.bash_app
def staged(script: str, shell: str, within: str, stdout: str) -> str:  # noqa: ARG001 - `stdout` is Parsl's
    """The directory goes with the whole batch. Parsl sends this function alone, so it imports for itself."""
    import pathlib
    import tempfile

    directory = pathlib.Path(tempfile.mkdtemp(dir=within))
    (directory / "script").write_text(script)
    return f"cd {directory} && exec {shell} script"


@contextlib.contextmanager
def start() -> Iterator[harness.Submit]:
    """Without its scaling strategy: there is one block of two workers from begin to end."""
    executor = parsl.HighThroughputExecutor(
        address=LOOPBACK,
        max_workers_per_node=harness.SLOTS,
        prefetch_capacity=PREFETCH,
        encrypted=False,
        provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
    )
    with parsl.load(parsl.Config(executors=[executor], strategy="none", initialize_logging=False)):
        yield _submit


def _submit(batch: Sequence[str | None]) -> list[Outcome]:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as within:
        outputs = [Path(within, f"{number}.out") for number in range(len(batch))]
        futures = [
            true(TRUE) if script is None else staged(script, SHELL, within, stdout=str(output))
            for script, output in zip(batch, outputs, strict=True)
        ]
        return [
            (future.result(timeout=harness.LIMIT_S), "" if script is None else output.read_text())
            for future, script, output in zip(futures, batch, outputs, strict=True)
        ]


if __name__ == "__main__":
    harness.main("parsl", version=version("parsl"), durability="memory only", start=start)
