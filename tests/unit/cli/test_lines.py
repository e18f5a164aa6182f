"""Lines have styles on a terminal, and none in a pipe; what is wide, and how it is cut, is as Rich has it."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from copilot.cli.lines import COLOURS, WEIGHTS, Line, codes_of, cut, width_of

LINE = Line((("a ", ""), ("b", "bold yellow"), ("", "red"), (" c", "dim")))


class Terminal(io.StringIO):
    """Somebody looks at it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({}, "a \x1b[1;33mb\x1b[0m\x1b[2m c\x1b[0m"),
        ({"NO_COLOR": "1"}, "a \x1b[1mb\x1b[0m\x1b[2m c\x1b[0m"),
        ({"TERM": "dumb"}, "a b c"),
    ],
)
def test_styles_are_shown_on_a_terminal_as_rich_shows_them(
    variables: dict[str, str], shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm"} | variables).items():
        monkeypatch.setenv(name, value)
    assert LINE.shown(codes_of(Terminal())) == shown
    rich = Terminal()
    Console(file=rich, highlight=False, soft_wrap=True).print(Text.assemble(*LINE.pieces))
    assert rich.getvalue() == f"{shown}\n"
    assert LINE.shown(codes_of(io.StringIO())) == str(LINE) == "a b c"


def test_styles_are_made_of_words_that_have_codes() -> None:
    assert Line.of("x", "bold red").shown(WEIGHTS | COLOURS) == "\x1b[1;31mx\x1b[0m"
    assert Line.of("x", "red").shown(WEIGHTS) == Line.of("x").shown(COLOURS) == "x"


@pytest.mark.parametrize(
    "text", ["", "plain text ", "…", "an ellipsis…", "日本語 here", "ä ö ü", "🙂 and more"]
)
def test_what_is_wide_is_cut_where_rich_cuts_it(text: str) -> None:
    assert width_of(text) == cell_len(text)
    for size in range(1, 20):
        expected = text if cell_len(text) <= size else set_cell_size(text, size - 1).rstrip() + "…"
        assert cut(text, size) == expected
        assert width_of(cut(text, size)) <= size
