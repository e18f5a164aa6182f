"""What commands share: how they spell options, ask, show once and again, and which exit codes there are."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from copilot import errors
from copilot.cli import output
from copilot.cli.ask import NotWanted, confirm
from copilot.cli.codes import MEANINGS, ExitCode, table
from copilot.cli.lines import Line
from copilot.cli.live import fitted
from copilot.cli.options import chosen
from copilot.cli.output import Shown
from copilot.cli.spelling import spelt
from copilot.errors import BadName, ConfigError, CopilotError, StoreUnavailable
from copilot.job import State

PAGE = Path(__file__).parents[3] / "docs" / "exit-codes.md"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("list --watch", "list --watch=2"),
        ("list --watch 5 x", "list --watch 5 x"),
        ("list --watch .5", "list --watch .5"),
        ("list --watch --json", "list --watch=2 --json"),
        ("x -- run --watch", "x -- run --watch"),
        ("submit run --watch", "submit run --watch"),
    ],
)
def test_watch_may_stand_without_a_number(words: str, meant: str) -> None:
    assert spelt(words.split()) == meant.split()


def test_where_nobody_can_answer_a_question_stops_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(ConfigError, match="Cancel all\\? Nobody can answer here: say --yes"):
        confirm("Cancel all?", yes=False)
    confirm("Cancel all?", yes=True)


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("said", "goes_on"), [("y\n", True), ("YES\n", True), ("\n", False), ("", False), ("no\n", False)]
)
def test_only_a_yes_goes_on(said: str, goes_on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(said))
    if goes_on:
        confirm("Sure?", yes=False)
    else:
        with pytest.raises(NotWanted):
            confirm("Sure?", yes=False)


def test_every_exit_code_is_on_the_page_and_every_error_has_one_of_them() -> None:
    assert table() in PAGE.read_text()
    assert set(MEANINGS) == set(ExitCode)
    ours = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, CopilotError)]
    assert {one.exit_code for one in ours} <= set(ExitCode)


LINES = [
    "plain",
    "",
    "世界  é",
    "a\tb",
    "\x1b[31mred\x07",
    "two\nlines",
    "[bold]no mark-up[/bold] :smile: 12",
    "  end  ",
    "x" * 300,
]


@pytest.mark.parametrize("lines", [LINES[:3], LINES, LINES[6:], [Line.of("styled", "red"), *LINES[:3]]])
def test_in_a_pipe_a_line_is_what_rich_makes_of_it(
    lines: list[str | Line], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    output.print_lines(lambda _: lines)
    shown = capsys.readouterr().out
    for line in lines:
        text = str(line)
        Console(highlight=False, soft_wrap=True, markup=False, emoji=False).print(text)
    assert shown == capsys.readouterr().out


def test_what_wants_colours_in_a_pipe_gets_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    output.print_lines(lambda width: [Line.of("styled" if width else "cut", "red")])
    assert capsys.readouterr().out == "\x1b[31mstyled\x1b[0m\n"


async def test_watching_shows_it_again_and_again_and_tells_of_a_queue_that_is_away(
    capsys: pytest.CaptureFixture[str],
) -> None:
    looks = 0
    this = asyncio.current_task()
    assert this is not None

    async def look() -> Shown:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise StoreUnavailable("away")
        if looks == 4:
            this.cancel()
        return Shown(data={"look": looks}, lines=lambda width: [f"look {looks}, width {width}"])

    await output.watch(look, every=0.001, as_json=True)
    said = capsys.readouterr()
    assert [json.loads(line)["look"] for line in said.out.splitlines()] == [1, 3, 4]
    assert said.err == "copilot: away\n"


async def test_watching_in_a_pipe_prints_text_below_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    this = asyncio.current_task()
    assert this is not None

    async def look() -> Shown:
        this.cancel()
        return Shown(data={}, lines=lambda width: [f"width {width}"])

    await output.watch(look, every=0.001, as_json=False)
    assert capsys.readouterr().out == "width None\n\n"


def test_options_say_which_jobs_are_meant() -> None:
    meant = chosen(["a", "b"], ["WAITING", "held"], None, ["x"], None, "Priority > 3")
    assert meant.states == (State.WAITING, State.HELD)
    assert meant.described() == "state waiting or held, owner a or b, tag x, Priority > 3"
    assert not chosen()
    with pytest.raises(BadName, match="state 'asleep': expected one of waiting, "):
        chosen(states=["asleep"])


def test_the_shell_completes_commands_and_options() -> None:
    def completed(words: str) -> list[str]:
        asked = {
            "_COPILOT_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        program = [sys.executable, "-c", "from copilot.cli.start import main; main()"]
        done = subprocess.run(
            program, env={**os.environ, **asked}, capture_output=True, text=True, check=False
        )
        return done.stdout.split()

    assert completed("copilot jo") == ["jobs"]
    assert "--where" in completed("copilot jobs cancel --")


def test_who_reads_no_more_has_an_exit_code_of_his_own() -> None:
    """A library makes it one of its own, or nobody sees it before all is over."""
    program = [sys.executable, "-c", "from copilot.cli.start import main; main()", "--version"]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(program, stdout=writing, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (ExitCode.PIPE, b"")


def test_an_output_without_room_is_told_in_a_line() -> None:
    program = [sys.executable, "-c", "from copilot.cli.start import main; main()", "--version"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == ExitCode.OUTPUT
    assert done.stderr.startswith(
        "copilot: the output cannot be written (No space left on device): make room"
    )
    assert done.stderr.count("\n") == 1


def test_what_is_watched_is_cut_where_it_is_a_table_and_goes_on_below_where_it_is_a_sentence() -> None:
    screen = Console(width=20)
    found = fitted(["it has no room for this job", "", Line.of("a row of a table, which is cut")], screen)
    assert [line.plain.rstrip() for line in found] == [
        "it has no room for",
        "this job",
        "",
        "a row of a table, which is cut",
    ]
