"""docs/python.md lists CPython's tests of executors as they are run on ours, and what may be said of a job."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from copilot.client.api import Client, Options

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text()
THEIRS = ast.parse((ROOT / "tests" / "cpython" / "concurrent_futures.py").read_text())
# Under which name tests of one pool stand here.
RENAMED = {"PoolShutdownTest": "ThreadPoolShutdownTest", "PoolExecutorTest": "ProcessPoolExecutorTest"}
HERE = ("passes", "adapted")


def rows() -> list[list[str]]:
    table = PAGE[PAGE.index("<!-- cpython -->") : PAGE.index("<!-- end -->")]
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("| ") and not line.startswith("| Test ")
    ]


def run_here() -> set[str]:
    return {
        f"{RENAMED.get(one.name, one.name)}.{test.name}"
        for one in THEIRS.body
        if isinstance(one, ast.ClassDef)
        for test in one.body
        if isinstance(test, ast.FunctionDef) and test.name.startswith("test_")
    }


def test_the_table_has_what_is_run_and_why_the_rest_is_not() -> None:
    table = {name: (here, why) for name, here, why in rows()}
    assert {name for name, (here, _) in table.items() if here in HERE} == run_here()
    assert {here for here, _ in table.values()} == {*HERE, "does not apply"}
    assert all(why for here, why in table.values() if here != "passes")


def test_tests_of_ours_that_the_table_names_are_there() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for _, _, why in rows():
        for name in re.findall(r"`(test_\w+)`", why):
            assert f"def {name}(" in sources, name


def test_the_page_names_all_options_and_methods() -> None:
    for name in (*Options.__annotations__, *(name for name in vars(Client) if name[0] != "_")):
        assert re.search(rf"`{name}\b", PAGE) or name == "access", name
