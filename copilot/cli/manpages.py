"""Man pages of all commands, made from the commands themselves: `python -m copilot.cli.manpages DIRECTORY`, or `make man`.

Each command of `copilot` has a page (`copilot-jobs-list.1`), and each program of its own.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import typer.main

import copilot
from copilot.cli.codes import MEANINGS
from copilot.cli.main import app
from copilot.cli.submit import PROGRAM as SUBMITS
from copilot.cli.submit import app as submit_app

DISTRIBUTION = "copilot-broker"
WIDTH = "76"  # columns of help that is shown as it is
_KIND = re.compile(r" <([^>]*)>")
_VALUES = {"bool": "", "int": " N", "int range": " N", "float": " NUMBER", "float range": " NUMBER"}


def pages() -> dict[str, str]:
    """The text of each page, in troff, by the name of its file."""
    made = {}
    for words, command, context in commands(typer.main.get_command(app), ["copilot"], None):
        made[f"{'-'.join(words)}.1"] = _page(words, command, context)
    submits: Any = typer.main.get_command(submit_app)
    made[f"{SUBMITS}.1"] = _page([SUBMITS], submits, submits.context_class(submits, info_name=SUBMITS))
    for entry in metadata.distribution(DISTRIBUTION).entry_points:
        if entry.group == "console_scripts" and f"{entry.name}.1" not in made:
            made[f"{entry.name}.1"] = _as_it_is(entry.name, _help_of(entry.value))
    return made


def commands(command: Any, words: Sequence[str], parent: Any) -> Iterator[tuple[Sequence[str], Any, Any]]:
    """A command and all below it that are not hidden: its words, itself, its context."""
    context = command.context_class(command, info_name=words[-1], parent=parent)
    yield words, command, context
    for name, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield from commands(below, [*words, name], context)


def _page(words: Sequence[str], command: Any, context: Any) -> str:
    first, _, rest = (command.help or "").partition("\n\n")
    lines = [*_head("-".join(words), first), ".SH SYNOPSIS"]
    lines.append(_text(named(command.get_usage(context).removeprefix("Usage: "))))
    if rest or first:
        lines += [".SH DESCRIPTION", _text(first)]
        for part in filter(None, rest.split("\n\n")):
            lines += [".PP", _text(part)]
    below = getattr(command, "commands", {})
    if below:
        lines.append(".SH COMMANDS")
        for name, one in below.items():
            if not one.hidden:
                page = "-".join([*words, name])
                lines += [".TP", f"\\fB{_text(page)}\\fR(1)", _text((one.help or "").partition("\n\n")[0])]
    records = [found for one in command.params if (found := one.get_help_record(context))]
    records.append(("-h, --help", "Show this message and exit."))
    lines.append(".SH OPTIONS")
    for names, text in records:
        lines += [".TP", f"\\fB{_text(named(names))}\\fR", _text(text)]
    lines.append(".SH EXIT STATUS")
    for code, (meaning, _) in MEANINGS.items():
        lines += [".TP", str(code.value), _text(meaning)]
    return "\n".join([*lines, *_see_also(words)]) + "\n"


def _as_it_is(name: str, text: str) -> str:
    """A page of a program that tells its options itself."""
    usage, _, rest = text.partition("\n\n")
    first = " ".join(rest.partition("\n\n")[0].split())
    shown = [_text(line) for line in (usage + "\n\n" + rest).rstrip().splitlines()]
    lines = [*_head(name, first), ".SH SYNOPSIS AND OPTIONS", ".nf", *shown, ".fi", *_see_also([name])]
    return "\n".join(lines) + "\n"


def _help_of(target: str) -> str:
    """What `--help` of a program says."""
    module, _, name = target.partition(":")
    said = io.StringIO()
    before = sys.argv, os.environ.get("COLUMNS")
    sys.argv, os.environ["COLUMNS"] = [module, "--help"], WIDTH
    try:
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            getattr(importlib.import_module(module), name)()
    finally:
        sys.argv = before[0]
        os.environ.pop("COLUMNS")
        if before[1] is not None:
            os.environ["COLUMNS"] = before[1]
    return said.getvalue()


def named(text: str) -> str:
    """Names of options with what stands for their values: Typer says the kind where we say nothing."""
    return _KIND.sub(lambda kind: _VALUES.get(kind[1], " TEXT" if "list" not in kind[1] else ""), text)


def _head(name: str, what: str) -> list[str]:
    short = what.split(". ", maxsplit=1)[0].rstrip(".")
    title = f'.TH "{name.upper()}" 1 "" "Co-Pilot {copilot.__version__}" "Co-Pilot"'
    return [title, ".SH NAME", f"{_text(name)} \\- {_text(short)}"]


def _see_also(words: Sequence[str]) -> list[str]:
    above = "-".join(words[:-1]) or "copilot"
    return [".SH SEE ALSO", f"\\fB{_text(above)}\\fR(1)"]


def _text(text: str) -> str:
    """Text in troff: back-slashes, hyphens that are meant as such, and no line that begins with a dot or a quote."""
    safe = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace("'", "\\(aq")
    return "\n".join(f"\\&{line}" if line.startswith(".") else line for line in safe.splitlines())


def main() -> None:
    """Write them into the directory that is named."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    made = pages()
    for name, text in made.items():
        (directory / name).write_text(text, "utf-8")
    print(f"{len(made)} pages in {directory}")


if __name__ == "__main__":
    main()
