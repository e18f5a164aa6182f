"""`copilot audit`: who has changed what on the queue, and how the trail is taken elsewhere (docs/audit.md)."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from copilot.cli.ask import confirm
from copilot.cli.lines import width_of
from copilot.cli.looking import load_queue, opened
from copilot.cli.options import AsJson, ConfigOption, Reason, Yes, read_duration
from copilot.cli.output import print_json, print_lines
from copilot.cli.tables import Column, Table
from copilot.client.story import when
from copilot.errors import BadName, ConfigError, StoreUnavailable
from copilot.jobmanager.config import SubmitConfig
from copilot.runtime.signals import on_stop
from copilot.store.audit import OPERATIONS, AuditEntry
from copilot.store.base import Store
from copilot.store.keys import rights

PAGE = 1000
BLOCK = 5.0  # s that one look waits for news
RETRY = 2.0  # s until a queue that is away is asked again
COLUMNS = (
    Column(title="WHEN"),
    Column(title="WHO", least=10),
    Column(title="VIA", rank=3),
    Column(title="FROM", least=8, rank=4),
    Column(title="VERB"),
    Column(title="OF WHAT", least=12),
    Column(title="RESULT", rank=1),
    Column(title="WHY", least=8, rank=2),
)

app = typer.Typer(help="Who has changed what on the queue.", invoke_without_command=True)

Before = Annotated[
    str, typer.Option("--before", metavar="DAY", help="Entries before that day (UTC), like 2026-01-31.")
]


@app.callback()
def audit(  # one parameter per option
    context: typer.Context,
    who: Annotated[
        list[str] | None, typer.Option("--who", metavar="NAME", help="By this person. Repeatable.")
    ] = None,
    job: Annotated[
        list[str] | None,
        typer.Option("--of", metavar="ID", help="Of this job, array, agent or account. Repeatable."),
    ] = None,
    verb: Annotated[
        list[str] | None, typer.Option("--verb", metavar="VERB", help="Like cancel or drain. Repeatable.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Begin so long ago, like 2h or 7d. (default: at the beginning)"),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on, until Ctrl-C.")] = False,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Show who has changed what, from where, and what came of it; --json: one object a line."""
    if context.invoked_subcommand is not None:
        return
    known = sorted({one.verb for one in OPERATIONS.values() if one.verb})
    for one in verb or ():
        if one not in known:
            raise BadName(f"--verb {one[:40]!r}: expected one of {', '.join(known)}")

    named = set(job or ())

    def meant(entry: AuditEntry) -> bool:
        return (
            (not who or entry.who in who)
            and (not job or not named.isdisjoint(_named(entry.target)))
            and (not verb or entry.verb in verb)
        )

    after = "0" if since is None else _id(time.time() - read_duration(since, "--since"))
    asyncio.run(_show(load_queue(config), after, meant, follow=follow, as_json=as_json))


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; must not be there yet.")],
    before: Before,
    config: ConfigOption = None,
) -> None:
    """Write old entries to a file, a line of JSON each. They stay on the queue until `cut` takes them."""
    end = _day(before)
    number = asyncio.run(_export(load_queue(config), file, end))
    print(f"{number:,} entries before {before} are in {file}")


@app.command()
def cut(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `export` has written.")],
    reason: Reason = "",
    yes: Yes = False,
    config: ConfigOption = None,
) -> None:
    """Take the entries of that file off the queue, after a look whether all of them are in it. One entry says so."""
    settings = load_queue(config)
    idents = _exported(file)
    confirm(f"Take {len(idents):,} entries off the audit trail? They are in {file}.", yes=yes)
    number = asyncio.run(_cut(settings, file, idents, reason))
    print(f"{number:,} entries were taken off the trail; {file} has them")


@app.command()
def acl(
    user: Annotated[str, typer.Argument(metavar="NAME", help="Name of the account in Redis.")] = "copilot",
) -> None:
    """Show the line for Redis 7 that lets our programs add to the trail, and do nothing else to it."""
    print(rights(user))


def _named(target: str) -> set[str]:
    """What an entry is about: words, and of slices like `sim[10:20]` the name of the array, too."""
    words = target.split()
    return {*words, *(word.partition("[")[0] for word in words)}


def _id(moment: float) -> str:
    return f"{max(0, int(moment * 1000))}-0"


def _day(text: str) -> float:
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        raise BadName(f"--before {text[:40]!r}: expected a day, like 2026-01-31") from None
    moment = datetime.datetime.combine(day, datetime.time(), datetime.UTC).timestamp()
    if moment > time.time():
        raise BadName(f"--before {text}: is yet to come")
    return moment


async def _pages(store: Store, after: str) -> AsyncIterator[Sequence[AuditEntry]]:
    while found := await store.audit(after=after, count=PAGE):
        yield found
        after = found[-1].id


async def _export(config: SubmitConfig, file: Path, end: float) -> int:
    number, limit = 0, int(end * 1000)
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be made: {error.strerror}; name a file that is not there yet"
        ) from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            async with opened(config) as store:
                async for page in _pages(store, "0"):
                    old = [entry for entry in page if int(entry.id.partition("-")[0]) < limit]
                    out.writelines(json.dumps(entry.facts()) + "\n" for entry in old)
                    number += len(old)
                    if len(old) < len(page):
                        break
            out.flush()
            os.fsync(out.fileno())
        directory = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        _drop(file)
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from error
    except BaseException:
        _drop(file)
        raise
    return number


def _drop(file: Path) -> None:
    """Half of it is good for nothing."""
    file.unlink(missing_ok=True)


def _exported(file: Path) -> list[str]:
    idents: list[str] = []
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    idents.append(str(json.loads(line)["id"]))
                except (ValueError, TypeError, KeyError):
                    raise BadName(
                        f"{file}:{number}: no entry of the audit trail; expected what `export` writes"
                    ) from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise BadName(f"{file}: is no text; expected what `export` writes") from None
    if not idents:
        raise BadName(f"{file}: no entries are in it, so there is nothing to take away")
    return idents


async def _cut(config: SubmitConfig, file: Path, idents: Sequence[str], reason: str) -> int:
    """Raises `BadName` if an entry that would go is not in the file."""
    known, last = set(idents), idents[-1]
    async with opened(config) as store:
        async for page in _pages(store, "0"):
            for entry in page:
                if entry.id not in known:
                    raise BadName(
                        f"{file}: entry {entry.id} is on the trail before its end and not in it; nothing was taken away"
                    )
                if entry.id == last:
                    why = f"in {file.name}" if not reason else f"in {file.name}: {reason}"
                    return await store.cut_audit(last, reason=why)
    return 0  # somebody has cut it before


async def _show(
    config: SubmitConfig, after: str, meant: Callable[[AuditEntry], bool], *, follow: bool, as_json: bool
) -> None:
    this = asyncio.current_task()
    assert this is not None
    widths, begun = [0 for _ in COLUMNS], False
    with contextlib.suppress(asyncio.CancelledError), on_stop(this.cancel):
        async with opened(config) as store:
            while True:
                found = await _read(store, after, BLOCK if follow else 0.0, patient=follow)
                after = found[-1].id if found else after
                if shown := [entry for entry in found if meant(entry)]:
                    _print(shown, widths, head=not begun, as_json=as_json)
                    begun = True
                if not follow and len(found) < PAGE:
                    return


async def _read(store: Store, after: str, block: float, *, patient: bool) -> Sequence[AuditEntry]:
    while True:
        try:
            return await store.audit(after=after, block=block, count=PAGE)
        except StoreUnavailable as error:
            if not patient:
                raise
            print(f"copilot: {error}", file=sys.stderr)
            await asyncio.sleep(RETRY)


def _print(shown: Sequence[AuditEntry], widths: list[int], *, head: bool, as_json: bool) -> None:
    if as_json:
        for entry in shown:
            print_json(entry.facts())
        return
    rows = [
        [when(one.time), one.who, one.via, one.place, one.verb, one.target, one.result, one.reason]
        for one in shown
    ]
    for row in rows:  # what comes later stands below what came before
        widths[:] = [max(width, width_of(cell)) for width, cell in zip(widths, row, strict=True)]
    table = Table(columns=COLUMNS, rows=rows, wide=tuple(widths))
    print_lines(lambda width: list(table.lines(width))[0 if head else 1 :])
