"""docs/doctor.md has a row for each check, and each row names tests that make that check and break what it looks at."""

from __future__ import annotations

import re
from pathlib import Path

from copilot.doctor.table import CHECKS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "doctor.md").read_text()
TESTS = [*(ROOT / "tests/integration/doctor").glob("test_*.py"), ROOT / "tests/unit/doctor/test_judging.py"]


def rows() -> list[list[str]]:
    found = re.search(r"<!-- checks -->\n\n(.+?)\n\n<!-- end -->", PAGE, re.DOTALL)
    assert found
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in found[1].splitlines()[2:]]


def functions() -> dict[str, str]:
    """The text of each test, by name."""
    texts: dict[str, str] = {}
    for file in TESTS:
        parts = re.split(r"^(?:async )?def (test_\w+)", file.read_text(), flags=re.MULTILINE)
        texts |= dict(zip(parts[1::2], parts[2::2], strict=True))
    return texts


def test_every_check_has_its_row_in_the_order_of_the_command() -> None:
    named = [(cells[0].strip("`| "), cells[1]) for cells in rows()]
    assert named == [(check.name, check.about) for check in CHECKS]


def test_every_check_is_broken_by_a_test_that_is_there_and_is_about_it() -> None:
    texts = functions()
    for check, _, broken, cure in rows():
        tests = re.findall(r"`(test_\w+)`", broken)
        assert tests, check
        assert cure.strip(" |"), check
        name = check.strip("`| ")
        assert any(name in texts[test] or f"{name}." in texts[test] for test in tests), (name, tests)


def test_the_example_is_what_the_command_says() -> None:
    for check in re.findall(r"^    (?:ok|fault|warning|skipped) +([a-z-]+)", PAGE, re.MULTILINE):
        assert check in {one.name for one in CHECKS}
