"""docs/explain.md has the codes that the code has. `python -m tests.unit.test_explain_page` rewrites its table."""

from __future__ import annotations

from pathlib import Path

from copilot.client.explaining.agents import AGENT_MEANINGS, AgentCode
from copilot.client.explaining.reasons import MEANINGS, Code

PAGE = Path(__file__).parents[2] / "docs" / "explain.md"
HEADS = ("| Code | Meaning |\n|---|---|\n", "| Code of an agent | Meaning |\n|---|---|\n")


def tables() -> list[str]:
    """The rows as the page has them."""
    return [
        "".join(f"| `{code}` | {MEANINGS[code]} |\n" for code in Code),
        "".join(f"| `{code}` | {AGENT_MEANINGS[code]} |\n" for code in AgentCode),
    ]


def written(text: str) -> str:
    """The page with these tables."""
    for head, rows in zip(HEADS, tables(), strict=True):
        before, _, after = text.partition(head)
        text = before + head + rows + "\n" + after.partition("\n\n" if after.startswith("|") else "\n")[2]
    return text


def test_the_page_has_every_code() -> None:
    text = PAGE.read_text("utf-8")
    for head, rows in zip(HEADS, tables(), strict=True):
        assert head + rows + "\n" in text


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
