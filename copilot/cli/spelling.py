"""How options are spelt that Typer would not take so."""

from __future__ import annotations

from collections.abc import Sequence

from copilot.patterns import pattern

WATCH = 2.0  # s between two looks, unless somebody says otherwise
LEAST_WATCH = 0.1  # s
_NUMBER = pattern(r"[0-9]*\.?[0-9]+\Z")


def spelt(arguments: Sequence[str]) -> list[str]:
    """The same, each `--watch` with its number: options of Typer have a value or none, not both. What follows `--` is left
    alone, and so is `submit`, whose last words are somebody else's."""
    words = list(arguments)
    if words[:1] == ["submit"]:
        return words
    end = words.index("--") if "--" in words else len(words)
    for at in range(end):
        if words[at] == "--watch" and not (at + 1 < end and _NUMBER.match(words[at + 1])):
            words[at] = f"--watch={WATCH:g}"
    return words
