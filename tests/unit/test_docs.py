"""The pages: links lead somewhere, and the commands and options that they name are there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from copilot.cli import main, submit

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/decisions/*.md")],
    key=lambda page: page.relative_to(ROOT),
)
USERS = [
    page for page in PAGES if "decisions" not in page.parts and page.name not in {"CHANGELOG.md", "status.md"}
]
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]\[]*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_COMMAND = re.compile(r"(?:^ {4,}(?:\$ )?|`)(copilot(?:-agent|-job-submit)? [^`\n]*)", re.MULTILINE)
_OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]*|-[a-zA-Z]{1,2})(?![\w-])")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def anchors(page: Path) -> set[str]:
    """As the sites that show Markdown make them."""
    found: dict[str, int] = {}
    names = set()
    for heading in _HEADING.findall(_FENCE.sub("", page.read_text())):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
        name = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        seen = found.get(name, 0)
        found[name] = seen + 1
        names.add(f"{name}-{seen}" if seen else name)
    return names


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached_from_the_first_ones() -> None:
    reached = set()
    pending = [ROOT / "README.md", ROOT / "docs" / "README.md"]
    while pending:
        page = pending.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        links = _LINK.findall(page.read_text())
        pending += [(page.parent / link.partition("#")[0]).resolve() for link in links if ":" not in link]
    assert {named(page) for page in PAGES} - {named(page) for page in reached} == set()


def commands() -> dict[str, Any]:
    """All commands by their words."""

    def below(command: Any, words: str) -> Iterator[tuple[str, Any]]:
        yield words, command
        for name, one in getattr(command, "commands", {}).items():
            yield from below(one, f"{words} {name}")

    tops = {"copilot": main.app, "copilot-job-submit": submit.app}
    return {
        words: one for name, app in tops.items() for words, one in below(typer.main.get_command(app), name)
    }


KNOWN = commands()
NO_COMMANDS = {"copilot job secret v1"}  # what a key is made for (docs/protocol.md)


def words_of(text: str) -> list[str]:
    """As a shell reads them; blanks inside quotes are none."""
    try:
        return [word.replace(" ", "_") for word in shlex.split(text.removesuffix("\\"))]
    except ValueError:  # an apostrophe, say
        return text.split()


def faults(text: str) -> Iterator[str]:
    """Commands and options in a line that are not there. What comes after the command's own file belongs to that."""
    words = words_of(text)
    end, command = 1, KNOWN[words[0]]
    while hasattr(command, "commands") and end < len(words) and re.match(r"[a-z][a-z|-]*$", words[end]):
        names = words[end].split("|")
        if missing := [name for name in names if name not in command.commands]:
            yield f"{text}: no command {missing[0]}"
            return
        command = command.commands[names[0]]
        end += 1
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {
        "--help",
        "-h",
        "--version",
    }
    for word in words[end:]:
        if word == "--" or (words[1:2] == ["submit"] and re.search(r"\.(sh|toml|yaml|json|py)$", word)):
            return
        for option in _OPTION.findall(word):
            if word.startswith("-") and option not in options:
                yield f"{text}: no option {option}"


@pytest.mark.parametrize("page", USERS, ids=named)
def test_commands_and_options_that_a_page_names_are_there(page: Path) -> None:
    found = [
        re.split(r"\s[|>#]\s|;|&&| {3,}", text)[0].strip() for text in _COMMAND.findall(page.read_text())
    ]
    assert [
        fault
        for text in found
        if text not in NO_COMMANDS and text.split()[0] in KNOWN
        for fault in faults(text)
    ] == []


FILE = re.compile(r"`([\w./-]+(?:\.(?:py|lua|md|yml|toml|conf|json|cfg)|/))`")


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "ARCHITECTURE.md", "docs/glossary.md"])
def test_files_that_are_named_for_developers_are_there(name: str) -> None:
    """Paths from the root, from the package, or so much of their end that they are found."""
    parts = ("copilot", "tests", "docs", "etc", "examples", "bench", "tools", "requirements", "packaging")
    there = {
        f"/{path.relative_to(ROOT)}" + ("/" if path.is_dir() else "")
        for part in parts
        for path in ROOT.joinpath(part).rglob("*")
    } | {f"/{path.name}" + ("/" if path.is_dir() else "") for path in ROOT.iterdir()}
    named = {one for one in FILE.findall((ROOT / name).read_text()) if not one.startswith("build/")}
    assert {one for one in named if not any(path.endswith(f"/{one}") for path in there)} == set()
