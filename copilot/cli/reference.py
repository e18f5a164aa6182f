"""All commands with all options as one page in Markdown, made from the commands themselves: `python -m copilot.cli.reference`.

The site of the documentation has it (docs/conf.py); man pages say the same (`copilot.cli.manpages`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer.main

from copilot.cli.codes import MEANINGS
from copilot.cli.main import app
from copilot.cli.manpages import commands, named
from copilot.cli.submit import PROGRAM as SUBMITS
from copilot.cli.submit import app as submit_app

_SPECIAL = re.compile(r"([\\*_{}\[\]<>|])")


def page() -> str:
    """The sections, without a title."""
    parts = ["| Exit code | Meaning |", "|---|---|"]
    parts += [f"| {code.value} | {_text(meaning)} |" for code, (meaning, _) in MEANINGS.items()]
    for words, command, context in commands(typer.main.get_command(app), ["copilot"], None):
        parts += _section(" ".join(words), command, context)
    submits: Any = typer.main.get_command(submit_app)
    parts += _section(SUBMITS, submits, submits.context_class(submits, info_name=SUBMITS))
    return "\n".join(parts) + "\n"


def _section(words: str, command: Any, context: Any) -> Iterator[str]:
    yield from ("", f"## {words}", "", f"    {named(command.get_usage(context).removeprefix('Usage: '))}", "")
    for part in (command.help or "").split("\n\n"):
        yield from (f"    {part.strip()}" if part.startswith(f"{words} ") else _text(part), "")
    records = [found for one in command.params if (found := one.get_help_record(context))]
    if records:
        yield from ("| Option | |", "|---|---|")
        yield from (f"| `{named(names).replace('|', ', ')}` | {_text(text)} |" for names, text in records)


def _text(text: str) -> str:
    """In one line; nothing in it is markup but what stands between backquotes."""
    parts = " ".join(text.split()).split("`")
    return "`".join(
        part.replace("|", r"\|") if number % 2 else _SPECIAL.sub(r"\\\1", part)
        for number, part in enumerate(parts)
    )


if __name__ == "__main__":
    print(page())
