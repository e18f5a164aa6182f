"""The page of the command line has all keys of job files and all attributes of jobs. `python -m tests.unit.test_commands_page` rewrites it."""

from __future__ import annotations

import re
from pathlib import Path

from copilot.client.filters import ATTRIBUTES
from copilot.grid.jobkeys import KEYS

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
MARK = "<!-- keys: python -m tests.unit.test_commands_page -->\n"


def table() -> str:
    rows = ["| Key | Means | Value |", "|---|---|---|"]
    return "\n".join(
        [*rows, *(f"| `{name}` | {key.meaning} | {key.expects} |" for name, key in KEYS.items())]
    )


def attributes() -> str:
    return ", ".join(f"`{name}`" for name in ATTRIBUTES)


def test_the_page_has_all_keys_and_attributes() -> None:
    page = PAGE.read_text("utf-8")
    assert MARK + table() + "\n\n" in page
    assert f"Attributes in expressions: {attributes()}." in page


if __name__ == "__main__":
    page = PAGE.read_text("utf-8")
    page = re.sub(rf"{re.escape(MARK)}.*?\n\n", lambda _: f"{MARK}{table()}\n\n", page, flags=re.DOTALL)
    page = re.sub(r"(Attributes in expressions: )[^.]*\.", lambda said: f"{said[1]}{attributes()}.", page)
    PAGE.write_text(page, "utf-8")
