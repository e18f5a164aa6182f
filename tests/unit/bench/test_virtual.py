"""Environments apart: made once, made anew when their pins change."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench import virtual
from copilot.errors import CopilotError


def test_an_environment_is_kept_until_its_pins_change(tmp_path: Path) -> None:
    pins, directory = tmp_path / "pins.txt", tmp_path / "cache" / "one"
    pins.write_text("# nothing\n")
    assert virtual.find(pins, directory) is None
    python = virtual.make(pins, directory)
    assert virtual.find(pins, directory) == python
    text = "import sys; print(sys.prefix != sys.base_prefix)"
    assert subprocess.run([python, "-c", text], capture_output=True, check=True).stdout == b"True\n"
    mark = directory / "mark"
    mark.touch()
    assert virtual.make(pins, directory) == python
    assert mark.exists()
    pins.write_text("# nothing else\n")
    assert virtual.find(pins, directory) is None
    virtual.make(pins, directory)
    assert not mark.exists()


def test_what_pip_says_is_the_error_and_nothing_counts_as_made(tmp_path: Path) -> None:
    pins, directory = tmp_path / "pins.txt", tmp_path / "one"
    pins.write_text("./not/a/package\n")
    with pytest.raises(CopilotError, match="not/a/package"):
        virtual.make(pins, directory)
    assert virtual.find(pins, directory) is None
