"""What moves on a terminal: `--watch`, drawn by Rich, which only it and progress bars load."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import termios
import time
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from copilot.cli.lines import Line
from copilot.cli.output import Shown
from copilot.errors import StoreUnavailable

QUIT = b"qQ"


async def redraw(look: Callable[[], Awaitable[Shown]], every: float) -> None:
    """What `look` finds, every so many seconds, until somebody types q. A queue that is away is told below what was seen last."""
    screen = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    last: list[Text] = []
    async with _keys() as ended:
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


def fitted(lines: Iterable[Line | str], screen: Console) -> Iterator[Text]:
    """Sentences, which are not cut to the width, go on below; rows of tables are as wide as they are to be."""
    for line in lines:
        if isinstance(line, Line):
            yield Text.assemble(*line.pieces)
        else:
            yield from Text(line).wrap(screen, screen.width) if line else [Text()]


@contextlib.asynccontextmanager
async def _keys() -> AsyncIterator[asyncio.Event]:
    """Set as soon as somebody types q."""
    ended = asyncio.Event()
    if not sys.stdin.isatty():
        yield ended
        return
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
