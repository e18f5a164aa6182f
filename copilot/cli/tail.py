"""`copilot jobs tail`: the last lines that a job has printed, and those that come."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from copilot.cli.codes import ExitCode
from copilot.cli.looking import job_of, load_queue, opened
from copilot.cli.options import AsJson, ConfigOption, Remote
from copilot.client import tailing
from copilot.client.config import SubmitterConfig
from copilot.client.remote import Remote as RemoteSession
from copilot.client.stored import package_here, printed
from copilot.client.tailing import POLL, POLL_AFAR, CaughtUp, Ended, Look, Printed, Told
from copilot.errors import CopilotError
from copilot.jobmanager.config import SubmitConfig
from copilot.records import dataclass
from copilot.runtime.signals import on_stop
from copilot.store.base import Store
from copilot.store.watched import BACKLOG, Stream

LINES = 10
STORED_WITHIN = 10.0  # s after its end until the output of a job should be where it can be read
_LOOK_AGAIN = 0.2  # s
_KEPT = frozenset("\n\t")

Rest = Callable[
    [int], Awaitable[bytes | None]
]  # what is stored of the stream, from an offset on; None: it cannot be read here


def tail(
    job: Annotated[str, typer.Argument(metavar="ID", help="Id of the job.")],
    stderr: Annotated[bool, typer.Option("--stderr", "-e", help="Its stderr instead of its stdout.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job is over.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="How many lines of what there is, of its last 64 KiB.")
    ] = LINES,
    config: ConfigOption = None,
    as_json: AsJson = False,
    remote: Remote = False,
) -> None:
    """Show what a job prints: the last lines, also while it runs behind somebody else's firewall; --follow goes on."""
    job = job_of(config, job, remote=remote)
    stream = Stream.STDERR if stderr else Stream.STDOUT
    screen = Screen(lines=lines, as_json=as_json, stream=stream)
    if remote:
        from copilot.cli import from_afar

        with from_afar.settings(config) as settings:
            code = asyncio.run(_from_afar(settings, job, stream, screen, follow=follow))
    else:
        code = asyncio.run(_on_the_spot(load_queue(config), job, stream, screen, follow=follow))
    raise typer.Exit(code)


async def _on_the_spot(
    config: SubmitConfig, job: str, stream: Stream, screen: Screen, *, follow: bool
) -> int:
    async with opened(config) as store:

        async def rest(offset: int) -> bytes | None:
            return await _stored_here(store, config.done_job_dir, job, stream, offset)

        look = tailing.on_the_spot(store, job, stream)
        return await _run(look, job, screen, rest, follow=follow, poll=POLL)


async def _from_afar(
    config: SubmitterConfig, job: str, stream: Stream, screen: Screen, *, follow: bool
) -> int:
    from copilot.cli import from_afar

    async with from_afar.session(config) as remote:

        async def rest(offset: int) -> bytes | None:
            return await _stored_elsewhere(remote, job, stream, offset)

        look = tailing.from_afar(remote, job, stream)
        return await _run(look, job, screen, rest, follow=follow, poll=POLL_AFAR)


async def _run(look: Look, job: str, screen: Screen, rest: Rest, *, follow: bool, poll: float) -> int:
    this = asyncio.current_task()
    assert this is not None
    try:
        with on_stop(this.cancel):
            return await _show(tailing.tail(look, job, follow=follow, poll=poll), screen, rest)
    except asyncio.CancelledError:
        return ExitCode.INTERRUPTED


async def _show(found: AsyncIterator[Printed | Told | CaughtUp | Ended], screen: Screen, rest: Rest) -> int:
    code = ExitCode.OK
    async for one in found:
        match one:
            case Printed(data=data, again=again):
                screen.printed(data, again=again)
            case Told(text=text):
                code = ExitCode.NO
                screen.told(text)
            case CaughtUp():
                screen.flush()
            case Ended(state=state, attempt=attempt, offset=offset):
                code = ExitCode.OK
                stored = await rest(offset if attempt else -BACKLOG)
                if stored is None:
                    screen.told(f"the job is {state}; its output is not on this machine")
                    code = ExitCode.NO
                else:
                    screen.printed(stored, again=not attempt)
                    if not stored and not offset:
                        screen.nothing()
                screen.state(state)
    screen.flush()
    return code


async def _stored_here(
    store: Store, done: Path | None, job: str, stream: Stream, offset: int
) -> bytes | None:
    """Out of the packed output, once its finisher has it; else the end of stderr, which is in the record."""
    record = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STORED_WITHIN):
            while True:
                package = await package_here(store, job, done)
                if package is not None:
                    return await asyncio.to_thread(printed, package, job, stream, offset)
                record = await store.get(job)
                if record is None or record.published or not record.state.final or done is None:
                    break
                await asyncio.sleep(_LOOK_AGAIN)
    outcome = None if record is None else record.outcome
    if outcome is None:
        return None
    if outcome.output is None or (stream is Stream.STDERR and outcome.tail and offset < 0):
        return f"{outcome.tail}\n".encode() if stream is Stream.STDERR and outcome.tail else b""
    return None


async def _stored_elsewhere(remote: RemoteSession, job: str, stream: Stream, offset: int) -> bytes | None:
    """Fetched as a whole."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STORED_WITHIN), contextlib.aclosing(remote.follow(job)) as news:
            async for _ in news:
                pass
    with tempfile.TemporaryDirectory(prefix="copilot-") as place:
        package = Path(place) / "output.tgz"
        try:
            if await remote.fetch(job, package) is None:
                return b""
        except CopilotError as error:
            print(f"copilot: {error}", file=sys.stderr)
            return None
        return await asyncio.to_thread(printed, package, job, stream, offset)


@dataclass(slots=True)
class Screen:
    """Where it is shown. Of what was there before, the last `lines` alone. On a terminal no byte of a job moves the cursor; in a pipe
    bytes are what they are."""

    lines: int
    as_json: bool
    stream: Stream
    _kept: bytes = b""
    _live: bool = False

    def printed(self, data: bytes, *, again: bool) -> None:
        """What a job has printed."""
        if again and not self._live:
            self._kept += data
            return
        self.flush()
        self._write(data)

    def told(self, text: str) -> None:
        """A line for people."""
        self.flush()
        if self.as_json:
            print(json.dumps({"note": text}), flush=True)
        else:
            print(f"copilot: {text}", file=sys.stderr, flush=True)

    def nothing(self) -> None:
        """The job is over, and has printed nothing: said to people, who may look for it in the other stream."""
        if not self.as_json:
            there = "" if self.stream is Stream.STDERR else "; --stderr shows what it printed there"
            self.told(f"it printed nothing to {self.stream.value}{there}")

    def state(self, state: str) -> None:
        """The job is over."""
        self.flush()
        if self.as_json:
            print(json.dumps({"state": state}), flush=True)

    def flush(self) -> None:
        """What was there before, if it was not shown yet."""
        self._live = True
        kept, self._kept = self._kept, b""
        self._write(last_lines(kept, self.lines))

    def _write(self, data: bytes) -> None:
        if not data:
            return
        if self.as_json:
            text = data.decode(errors="replace")
            print(json.dumps({"text": text, "base64": b64encode(data).decode("ascii")}), flush=True)
        elif sys.stdout.isatty():
            text = data.decode(errors="replace")
            sys.stdout.write("".join(one if one.isprintable() or one in _KEPT else "·" for one in text))
            sys.stdout.flush()
        else:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


def last_lines(data: bytes, count: int) -> bytes:
    """The last lines; one without an end counts."""
    lines = data.splitlines(keepends=True)
    return b"".join(lines[len(lines) - min(count, len(lines)) :])
