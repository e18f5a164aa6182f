"""Each command has a man page, which says what its help says, and troff takes it without a warning."""

from __future__ import annotations

import shutil
import subprocess
from importlib import metadata

import pytest

from copilot.cli.manpages import DISTRIBUTION, pages


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages()


def test_every_program_and_every_command_has_a_page(made: dict[str, str]) -> None:
    entries = metadata.distribution(DISTRIBUTION).entry_points
    programs = {entry.name for entry in entries if entry.group == "console_scripts"}
    assert {f"{name}.1" for name in programs} <= set(made)
    assert {"copilot-jobs.1", "copilot-jobs-list.1", "copilot-submit.1", "copilot-queue.1"} <= set(made)
    for name, text in made.items():
        assert text.startswith(f'.TH "{name.removesuffix(".1").upper()}" 1 '), name
        assert ".SH NAME\n" in text, name
        assert len(text.splitlines()) > 8, name


def test_a_page_has_the_options_of_its_command(made: dict[str, str]) -> None:
    assert "\\fB\\-\\-tag TAG\\fR" in made["copilot-jobs-list.1"]
    assert "\\-\\-config" in made["copilot-agent.1"]
    assert "\\fBcopilot\\-jobs\\-cancel\\fR(1)" in made["copilot-jobs.1"]


def test_troff_takes_them_without_a_warning(made: dict[str, str]) -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("no groff here")
    text = "\n".join(made.values()).encode()
    done = subprocess.run(
        [groff, "-man", "-Tutf8", "-k", "-ww", "-rLL=78n"], input=text, capture_output=True, check=True
    )
    warnings = [
        line
        for line in done.stderr.decode().splitlines()
        if "can't break line" not in line and "cannot adjust" not in line and "cannot break" not in line
    ]
    assert warnings == []
