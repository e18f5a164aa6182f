"""Reads a conversation: one step a line, words as a shell splits them; a line that begins with blanks goes on."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_VARIABLE = re.compile(r"\{([A-Za-z_][\w.-]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line: what is done in the words, `name=value` apart."""

    number: int
    line: str
    words: tuple[str, ...]
    values: Mapping[str, str]

    def filled(self, variables: Mapping[str, str]) -> Step:
        """With `{name}` replaced. An unknown one is a mistake in the file."""

        def fill(text: str) -> str:
            return _VARIABLE.sub(lambda match: variables[match[1]], text)

        return Step(
            number=self.number,
            line=self.line,
            words=tuple(fill(word) for word in self.words),
            values={name: fill(value) for name, value in self.values.items()},
        )


def read(path: Path) -> tuple[str, list[Step]]:
    """The title and the steps of a conversation."""
    title, *lines = path.read_text().splitlines()
    assert title.startswith("# "), f"{path}: the first line is to be '# ' and what the conversation shows"
    steps: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=2):
        if line.startswith(" "):
            steps[-1] = steps[-1][0], f"{steps[-1][1]} {line.strip()}"
        elif line and not line.startswith("#"):
            steps.append((number, line))
    return title.removeprefix("# "), [_step(number, line) for number, line in steps]


def _step(number: int, line: str) -> Step:
    words, values = [], {}
    for word in _split(line):
        name, equals, value = word.partition("=")
        if equals and re.fullmatch(r"[@./\w-]+", name):
            values[name] = value.replace("\\n", "\n")
        else:
            words.append(word.replace("\\n", "\n"))
    return Step(number=number, line=line, words=tuple(words), values=values)


def _split(line: str) -> list[str]:
    """As a shell, but a back-slash is nothing special."""
    words = shlex.shlex(line, posix=True)
    words.whitespace_split, words.escape, words.commenters = True, "", ""
    return list(words)
