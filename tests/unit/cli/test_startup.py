"""What a command loads before it does anything: nobody should wait for what he did not ask for (decision 24)."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys

import pytest
import typer

import copilot.cli
from copilot.cli.lazy import At
from copilot.cli.main import AGENTS, COMMANDS, JOBS

QUEUE = {"redis", "rich"}  # what talks to the queue, and shows a table
HEAVY = {
    *QUEUE, "aiohttp", "classad2", "cloudpickle", "fsspec", "lxml", "playwright", "prometheus_client", "psutil", "pydantic", "slixmpp",
    "yaml",
}  # fmt: skip


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        ("--version", set()),
        ("jobs list --help", QUEUE),
        ("jobs explain --help", QUEUE),
        ("jobs cancel --help", QUEUE),
        ("agents list --help", QUEUE),
        ("queue --help", QUEUE),
        ("submit --help", QUEUE),
        ("events --help", QUEUE),
    ],
)
def test_a_command_loads_what_it_needs(words: str, allowed: set[str]) -> None:
    text = (
        "import atexit, sys; sys.argv = ['copilot', *sys.argv[1:]]\n"
        "atexit.register(lambda: print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr))\n"
        "from copilot.cli.start import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", text, *words.split()],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"TYPER_USE_RICH": "0"},  # help looks better with it, and is another matter
    )
    loaded = set(done.stderr.split())
    assert "copilot" in loaded
    assert loaded & HEAVY <= allowed


@pytest.mark.parametrize("table", [COMMANDS, JOBS, AGENTS], ids=["copilot", "jobs", "agents"])
def test_each_name_of_the_table_is_a_command(table: dict[str, At | typer.Typer]) -> None:
    for name, place in table.items():
        if isinstance(place, At):
            command = place.load(name)
            assert command.name == name
            assert command.help


def test_each_group_of_commands_is_in_the_table() -> None:
    """A module with commands that nobody can call was forgotten."""
    groups = set()
    for module in pkgutil.iter_modules(copilot.cli.__path__):
        text = inspect.getsource(importlib.import_module(f"copilot.cli.{module.name}"))
        if "@app.command" in text and module.name != "submit":  # a program of its own
            groups.add(f"{module.name}:app")
    assert groups == {
        place.place for place in COMMANDS.values() if isinstance(place, At) and place.place.endswith(":app")
    }


def test_a_command_that_ends_is_not_looked_through_for_cycles() -> None:
    text = (
        "import atexit, gc, sys; sys.argv = ['copilot', '--version']\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 10_000))\n"
        "from copilot.cli.start import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True)
    assert done.stdout.split()[-1] == "True"


def test_ctrl_c_while_a_command_loads_is_no_traceback() -> None:
    text = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name in ('copilot.cli.joblist', sys.argv[1]): raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from copilot.cli.start import main; main()"
    )
    for words in (["typer"], ["jobs", "list"]):
        done = subprocess.run(
            [sys.executable, "-c", text, *words], check=False, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (130, "")
