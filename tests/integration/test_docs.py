"""The pages make a site without a warning: every link, every page in the navigation."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench import virtual
from tests.missing import missing

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements" / "docs.lock"


def test_the_documentation_is_built_without_warnings(tmp_path: Path) -> None:
    python = virtual.find(LOCK, virtual.in_cache(LOCK)) or missing("no Sphinx: make servers")
    site = tmp_path / "site"
    options = ("-q", "-n", "-W", "--keep-going", "-c", "docs", "-d", str(tmp_path / "trees"), "-b", "html")
    built = subprocess.run(
        [str(python), "-m", "sphinx", *options, ".", str(site)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (built.returncode, built.stderr) == (0, "")
    page = (site / "docs" / "commands.html").read_text()
    assert 'class="caption-text">Submit and look after jobs' in page  # the navigation of docs/README.md
    assert (site / "index.html").exists()
    reference = (site / "docs" / "reference.html").read_text()
    assert "<h2>copilot jobs tail<" in reference
    assert '<span class="pre">--follow</span>' in reference
