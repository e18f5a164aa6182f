"""How commands show what they have found: text that fits, or JSON; once, or again and again (`--watch`).

Text goes through one door: without colours and whole where the output is no terminal, cut to the width where it is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from copilot.cli.lines import Line, codes_of, is_terminal, sentence
from copilot.errors import StoreUnavailable
from copilot.records import dataclass
from copilot.runtime.signals import on_stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a command has found: `data` ready for JSON, and `lines` for people, of at most so many characters (None: whole)."""

    data: Any
    lines: Callable[[int | None], Iterable[Line | str]]


def print_json(data: object) -> None:
    """One value in one line."""
    print(json.dumps(data), flush=True)


def print_lines(lines: Callable[[int | None], Iterable[Line | str]]) -> None:
    """Text on the output."""
    screen = sys.stdout
    codes = codes_of(screen)
    width = shutil.get_terminal_size().columns if is_terminal(screen) else None
    for line in lines(width):
        print(sentence(line) if isinstance(line, str) else line.shown(codes), file=screen)
    screen.flush()


def show(found: Shown, *, as_json: bool) -> None:
    """Once."""
    if as_json:
        print_json(found.data)
    else:
        print_lines(found.lines)


async def watch(look: Callable[[], Awaitable[Shown]], *, every: float, as_json: bool) -> None:
    """Again and again, `every` seconds, until Ctrl-C, or q on a terminal. In a pipe each time below the last. A queue that is away
    is told, and asked again."""
    this = asyncio.current_task()
    assert this is not None
    with contextlib.suppress(asyncio.CancelledError), on_stop(this.cancel):
        if is_terminal(sys.stdout) and not as_json:
            from copilot.cli.live import redraw  # what nobody watches does without

            await redraw(look, every)
            return
        while True:
            try:
                show(await look(), as_json=as_json)
                if not as_json:
                    print(flush=True)
            except StoreUnavailable as error:
                print(f"copilot: {error}", file=sys.stderr)
            await asyncio.sleep(every)


@contextlib.contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Call what this gives with how many more are done: a bar on the error output, if that is a terminal and it takes a while."""
    if not is_terminal(sys.stderr):
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)

        def advanced(more: int) -> None:
            bar.advance(task, more)
            state = bar.tasks[task]
            if (
                state.total is not None and state.completed > state.total
            ):  # more have come since it was counted
                bar.update(task, total=state.completed)

        yield advanced
