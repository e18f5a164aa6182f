"""How commands show what they have found: text that fits, or JSON; once, or again and again (`--watch`).

Text goes through one door: without colours and whole where the output is no terminal, cut to the width where it is one. Rich is loaded
where there is a terminal, or something that is more than plain text: it is a tenth of what a short command takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from copilot.errors import StoreUnavailable
from copilot.records import dataclass
from copilot.runtime.signals import on_stop

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

QUIT = b"qQ"
_SAY_TERMINAL = frozenset({"FORCE_COLOR", "TTY_COMPATIBLE"})  # what Rich goes by besides


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a command has found: `data` ready for JSON, and `lines` for people, of at most so many characters (None: whole)."""

    data: Any
    lines: Callable[[int | None], Iterable[Text | str]]


def print_json(data: object) -> None:
    """One value in one line."""
    print(json.dumps(data), flush=True)


def console(*, error: bool = False) -> Console:
    """For text that is shown as it is: no mark-up, no wrapping, no colours of our own choice in numbers."""
    from rich.console import Console

    return Console(stderr=error, highlight=False, soft_wrap=True, markup=False, emoji=False)


def styled(text: str, style: str = "") -> Text:
    """A line that is cut to the width of a terminal, and does not go on below."""
    from rich.text import Text

    return Text(text, style=style)


def print_lines(lines: Callable[[int | None], Iterable[Text | str]]) -> None:
    """Text on the output."""
    if sys.stdout.isatty() or not _SAY_TERMINAL.isdisjoint(os.environ):
        screen = console()
        _print(screen, lines(screen.width if screen.is_terminal else None))
        return
    found = list(lines(None))
    if all(isinstance(line, str) and line.isprintable() for line in found):
        print("".join(f"{line}\n" for line in found), end="", flush=True)
    else:
        _print(console(), found)  # which leaves out what would move the cursor, and styles


def _print(screen: Console, lines: Iterable[Text | str]) -> None:
    for line in lines:
        screen.print(line)


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
    screen = console()
    alive = screen.is_terminal and not as_json
    with contextlib.suppress(asyncio.CancelledError), on_stop(this.cancel):
        if alive:
            async with _keys() as ended:
                await _redraw(look, every, screen, ended)
            return
        while True:
            try:
                show(await look(), as_json=as_json)
                if not as_json:
                    print(flush=True)
            except StoreUnavailable as error:
                print(f"copilot: {error}", file=sys.stderr)
            await asyncio.sleep(every)


async def _redraw(
    look: Callable[[], Awaitable[Shown]], every: float, screen: Console, ended: asyncio.Event
) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    last: list[Text] = []
    with Live(console=screen, screen=True, auto_refresh=False) as live:
        while not ended.is_set():
            try:
                found, note = await look(), ""
                last = list(fitted(found.lines(screen.width), screen))
            except StoreUnavailable as error:
                note = str(error)
            head = Text(f"{time.strftime('%H:%M:%S')}, every {every:g} s; q ends", style="dim")
            fits = max(1, screen.height - 3)
            more = [Text(f"… {len(last) - fits} lines more", style="dim")] if len(last) > fits else []
            trouble = [Text(note, style="red")] if note else []
            for line in (shown := [head, *trouble, *last[:fits], *more]):
                line.no_wrap, line.overflow = True, "ellipsis"
            live.update(Group(*shown), refresh=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every):
                    await ended.wait()


def fitted(lines: Iterable[Text | str], screen: Console) -> Iterator[Text]:
    """Sentences, which are not cut to the width, go on below; rows of tables are as wide as they are to be."""
    from rich.text import Text

    for line in lines:
        yield from (
            Text(line).wrap(screen, screen.width)
            if isinstance(line, str) and line
            else [Text(line) if isinstance(line, str) else line]
        )


@contextlib.asynccontextmanager
async def _keys() -> AsyncIterator[asyncio.Event]:
    """Set as soon as somebody types q."""
    ended = asyncio.Event()
    if not sys.stdin.isatty():
        yield ended
        return
    import os
    import termios
    import tty

    number, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(number)

    def typed() -> None:
        keys = os.read(number, 64)
        if not keys or any(key in QUIT for key in keys):
            ended.set()

    tty.setcbreak(number)
    loop.add_reader(number, typed)
    try:
        yield ended
    finally:
        loop.remove_reader(number)
        termios.tcsetattr(number, termios.TCSADRAIN, before)


@contextlib.contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Call what this gives with how many more are done: a bar on the error output, if that is a terminal and it takes a while."""
    from rich.console import Console

    screen = Console(stderr=True)
    if not screen.is_terminal:
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task(what, total=total)

        def advanced(more: int) -> None:
            bar.advance(task, more)
            state = bar.tasks[task]
            if (
                state.total is not None and state.completed > state.total
            ):  # more have come since it was counted
                bar.update(task, total=state.completed)

        yield advanced
