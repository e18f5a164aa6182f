"""How Sphinx makes the pages of this tree: `make docs` writes them to build/docs.

The pages are Markdown as GitHub shows it, and keep the links that work there. What stands in the table of docs/README.md
is the navigation: each row a part, each link a page. A page that is in no part is a warning, and warnings are errors.
"""

from __future__ import annotations

import posixpath
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
FIRST = "docs/README"
DECISIONS = "docs/decisions/README"
REFERENCE = "docs/reference"

project = "Co-Pilot"
root_doc = FIRST
extensions = ["myst_parser"]
include_patterns = ["*.md", "docs/**.md"]
exclude_patterns = [".*", "build", "dist", "bench", "copilot", "tests", "examples"]
nitpicky = True

myst_heading_anchors = 4
myst_title_to_header = False
suppress_warnings = ["misc.highlighting_failure"]  # samples of a stanza or a log are only parts of a language

html_theme = "furo"
html_title = "Co-Pilot"
html_copy_source = False
html_show_sourcelink = False
html_use_index = False
html_show_copyright = False
smartquotes = False  # what is quoted is often typed
highlight_language = "none"

_ROW = re.compile(r"^\| (.+?) \| (.+) \|$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)#]+\.md)[^)]*\)")


def trees(name: str, text: str) -> str:
    """The navigation that a page of pages stands for, in the words of Sphinx."""
    if name == FIRST:
        parts = [(caption.capitalize(), _LINK.findall(links)) for caption, links in _ROW.findall(text)]
        parts.insert(0, ("Co-Pilot", ["../README.md", "../CHANGELOG.md"]))
    elif name == DECISIONS:
        parts = [("Decisions", _LINK.findall(text))]
    else:
        return ""
    seen: set[str] = set()
    found = []
    for caption, links in parts:
        pages = [
            posixpath.join("/", posixpath.normpath(posixpath.join(posixpath.dirname(name), link)))
            for link in links
        ]
        new = [page for page in dict.fromkeys(pages) if page not in seen]
        seen.update(new)
        if new:
            found.append(
                "\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *new, "```", ""])
            )
    return "".join(found)


def reference() -> str:
    """All commands with their options, as they say them themselves."""
    python = ROOT / ".venv" / "bin" / "python"
    made = subprocess.run(
        [python, "-m", "copilot.cli.reference"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        raise RuntimeError(f"{python} cannot tell the commands: {made.stderr.strip()[-500:]}")
    return made.stdout


def add(_: Sphinx, name: str, source: list[str]) -> None:
    """What a page has in the site alone."""
    source[0] += trees(name, source[0])
    if name == REFERENCE:
        source[0] += f"\n{reference()}"


def first_page(app: Sphinx, error: Exception | None) -> None:
    """index.html leads to the page of pages, which lies where its links work from."""
    if error is None:
        (Path(app.outdir) / "index.html").write_text(
            f'<!doctype html><meta charset="utf-8"><title>{project}</title>'
            f'<meta http-equiv="refresh" content="0; url={FIRST}.html"><a href="{FIRST}.html">{project}</a>\n'
        )


def setup(app: Sphinx) -> None:
    app.connect("source-read", add)
    app.connect("build-finished", first_page)
