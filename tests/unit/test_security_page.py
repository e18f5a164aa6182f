"""docs/security.md names a test for each hostile input, and every test that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from copilot.log.limit import INTERVAL
from copilot.protocol.endpoint import SECONDS_BETWEEN_ERRORS
from copilot.runtime.tally import EVERY
from copilot.transport.gate import MAX_UNFINISHED_BYTES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
INPUTS = PAGE.partition("## Hostile input\n")[2]
THREATS = PAGE.partition("## Threat model\n")[2].partition("## Who may do what\n")[0]
ADVERSARIES = {
    "hostile agent",
    "hostile job",
    "hostile user",
    "hostile operator of the XMPP server",
    "thief of a bundle",
    "attacker on the network",
}


def rows_of(text: str, head: str) -> list[list[str]]:
    """The cells of the tables of a text, but for their heads, which begin with `head`."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|") and not line.startswith((f"| {head} ", "|---"))
    ]


ROWS = rows_of(INPUTS, "Input")
AGAINST = rows_of(THREATS, "Adversary")
TEST = re.compile(r"`(tests/[^`:]+\.py)::(test_\w+)`")


def names_in(path: Path) -> set[str]:
    """The names of a file's tests."""
    return {
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_every_adversary_is_there() -> None:
    assert {row[0] for row in AGAINST} == ADVERSARIES


@pytest.mark.parametrize("row", [*AGAINST, *ROWS], ids=lambda row: " ".join(row[:2])[:60])
def test_each_row_says_what_happens_and_names_tests_that_are_there(row: list[str]) -> None:
    assert len(row) == 4
    assert row[0]
    assert row[1]
    named = TEST.findall(row[3])
    assert named
    assert TEST.sub("", row[3]).strip(", ") == ""
    for path, name in named:
        assert name in names_in(ROOT / path)


def test_every_test_of_hostile_input_stands_on_the_page() -> None:
    there = {
        (str(path.relative_to(ROOT)), name)
        for path in (ROOT / "tests" / "hostile").glob("test_*.py")
        for name in names_in(path)
    }
    assert there - set(TEST.findall(INPUTS)) == set()


def test_the_numbers_are_those_of_the_code() -> None:
    assert (SECONDS_BETWEEN_ERRORS, INTERVAL, EVERY) == (1.0, 60.0, 600.0)
    for text in ("at most one in a second", "at most one in a minute", "Every 10 minutes"):
        assert text in PAGE
    assert f"at most {MAX_UNFINISHED_BYTES // 2**20} MiB without the end of a stanza" in PAGE
