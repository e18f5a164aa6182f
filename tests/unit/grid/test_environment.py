"""Variables as shell text: a shell sets exactly what was said."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.errors import BadName
from copilot.grid.environment import shell_environment

# What /bin/sh and env can carry: anything but NUL and text that is no UTF-8.
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)


@given(value=VALUES)
def test_a_shell_sets_exactly_the_value(value: str) -> None:
    text = shell_environment({"FIRST": "'", "VALUE": value, "LAST": '"'})
    script = f"{text}\nexec /usr/bin/env -0"
    shown = subprocess.run(["/bin/sh", "-s"], input=script.encode(), env={}, check=True, capture_output=True)
    assert f"VALUE={value}".encode() in shown.stdout.split(b"\0")


@pytest.mark.parametrize("name", ["", "1A", "A B", "A=B", "A;reboot", "Ä", "A\n", "$(A)"])
def test_a_variable_that_no_shell_takes_is_refused(name: str) -> None:
    with pytest.raises(BadName, match="expected letters, digits"):
        shell_environment({name: "1"})


def test_a_value_that_no_environment_can_hold_is_refused() -> None:
    with pytest.raises(BadName, match="A: its value holds a NUL"):
        shell_environment({"A": "a\0b"})


def test_no_variables_are_no_text() -> None:
    assert shell_environment({}) == ""
