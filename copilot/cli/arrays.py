"""Arrays on a terminal: waited for with one line that says how many elements are in each state."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from copilot.cli.lines import is_terminal
from copilot.cli.output import print_json
from copilot.client.slices import array_over, counted, over
from copilot.errors import UnknownJob
from copilot.job import State
from copilot.store.arrays import ArrayRecord
from copilot.store.base import Store

FAILED = 1


async def wait_for_array(store: Store, array: str, *, as_json: bool) -> int:
    """Until all elements are over; the exit code: 0 if all are done. Raises `UnknownJob`."""
    with showing(array) as told:
        record = await array_over(
            store, array, told, away=lambda error: print(f"array {array}: {error}", file=sys.stderr)
        )
    if record is None:
        raise UnknownJob(f"array {array} is no longer in the queue's records")
    if as_json:
        print_json(facts(record))
    else:
        print(f"array {array}: {counted(record.counts)}")
    return 0 if record.state is State.DONE else FAILED


@contextlib.contextmanager
def showing(array: str) -> Iterator[Callable[[ArrayRecord], None]]:
    """Call what this gives with the array: a bar on the error output if that is a terminal, else a line for each tenth that is over."""
    if not is_terminal(sys.stderr):
        yield _Lines(array)
        return
    from rich.console import Console  # lists do without
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    screen = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task(array)
        yield lambda record: bar.update(
            task,
            completed=over(record),
            total=record.spec.array,
            description=f"{array}: {counted(record.counts)}",
        )


class _Lines:
    """A line for each tenth of the elements that are over."""

    def __init__(self, array: str) -> None:
        self._array = array
        self._tenths = -1

    def __call__(self, record: ArrayRecord) -> None:
        tenths = 10 * over(record) // record.spec.array
        if tenths > self._tenths:
            self._tenths = tenths
            print(f"array {self._array}: {counted(record.counts)}", file=sys.stderr)


def facts(record: ArrayRecord) -> dict[str, Any]:
    """An array ready for JSON: times in seconds since the epoch."""
    return {
        "id": record.spec.id,
        "state": record.state.value,
        "owner": record.spec.owner,
        "elements": record.spec.array,
        "counts": {state.value: number for state, number in record.counts.items()},
        "submitted": record.submitted,
        "finished": record.finished,
    }
