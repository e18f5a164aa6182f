"""docs/guarantees.md names a test for each sentence, and every test that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|") and not line.startswith(("| Sentence ", "|---"))
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:50])
def test_each_sentence_names_what_shows_it(row: list[str]) -> None:
    sentence, shown = row
    assert sentence
    assert re.search(r"`(tests|copilot)/|simulation", shown)
    for path in re.findall(r"`((?:tests|copilot)/[\w/]+\.py)", shown):
        assert (ROOT / path).is_file(), path


def test_the_tests_that_are_named_are_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)
    assert named
    for path, name in named:
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        there = {
            node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, functions)
        }
        assert name in there, f"{path}::{name}"
