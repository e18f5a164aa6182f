"""Which sandbox an agent gets: one that somebody else has made, too, but none that is not there or does not work."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from copilot.agent.isolation.base import Bare, NoIsolation
from copilot.agent.isolation.choosing import SandboxContext, choose

CODE = """
from copilot.agent.isolation.base import Bare, NoIsolation

class Ours(Bare):
    level = "ours"
    def __init__(self, context):
        self.context = context

class Broken(Ours):
    def launch(self, argv, place, allowed):
        return super().launch(["/bin/false"], place, allowed)

def refuses(context):
    raise NoIsolation("not on this machine")
"""


@pytest.fixture
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of somebody else."""
    site = tmp_path / "site"
    facts = site / "my_sandbox-1.dist-info"
    facts.mkdir(parents=True)
    (site / "my_sandbox.py").write_text(CODE)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: my-sandbox\nVersion: 1\n")
    (facts / "entry_points.txt").write_text(
        "[copilot.sandboxes]\nmine = my_sandbox:Ours\nbroken = my_sandbox:Broken\nrefuses = my_sandbox:refuses\n"
    )
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    monkeypatch.delitem(sys.modules, "my_sandbox", raising=False)


@pytest.mark.usefixtures("_installed")
def test_a_plug_in_is_found_by_its_name_tried_and_given_what_it_may_know(tmp_path: Path) -> None:
    context = SandboxContext(work_dir=tmp_path / "work")
    isolation = choose("mine", context)
    assert isolation.level == "ours"
    assert isolation.context is context  # type: ignore[attr-defined]
    assert not list((tmp_path / "work" / "jobs").iterdir())  # of the trial


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("broken", "the sandbox 'broken' does not work here"),
        ("refuses", "not on this machine"),
        ("another", "no sandbox 'another' is installed .*: auto, broken, bubblewrap, mine, none, refuses"),
    ],
)
def test_one_that_does_not_work_is_not_used(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(NoIsolation, match=why):
        choose(name, SandboxContext(work_dir=tmp_path / "work"))


def test_none_is_what_it_says(tmp_path: Path) -> None:
    assert isinstance(choose("none", SandboxContext(work_dir=tmp_path)), Bare)
