"""Removing what a payload left: deep, wide, closed and full of symlinks."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from copilot.agent.trees import remove_tree


def test_a_missing_tree_is_fine(tmp_path: Path) -> None:
    remove_tree(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_symlinks_are_removed_and_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "precious").write_text("here")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(outside)
    (tree / "file").symlink_to(outside / "precious")
    (tree / "loop").symlink_to("loop")
    os.mkfifo(tree / "pipe")
    os.link(outside / "precious", tree / "hard")
    remove_tree(tree)
    assert (outside / "precious").read_text() == "here"
    assert outside.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]


def test_a_tree_deeper_than_any_path_or_stack_is_removed(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    dig = "import os\nfor i in range(3000):\n os.mkdir('directory'); os.chdir('directory')\nopen('f', 'w').close()"
    subprocess.run([sys.executable, "-c", dig], cwd=tmp_path / "tree", check=True)
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_more_files_than_are_held_at_a_time_are_removed(tmp_path: Path) -> None:
    for number in range(1200):
        (tmp_path / "tree" / str(number)).mkdir(parents=True)
        (tmp_path / "tree" / str(number) / "file").touch()
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


CLOSED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {source!r})
from copilot.agent.trees import remove_tree
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
tree = Path({tree!r})
(tree / "closed" / "inner").mkdir(parents=True)
(tree / "closed" / "inner" / "file").touch()
(tree / "closed" / "inner").chmod(0)
(tree / "closed").chmod(0)
tree.chmod(0)
remove_tree(tree)
"""


def test_directories_without_any_permission_are_removed_without_being_root(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as open_place:  # tmp_path is closed to others
        Path(open_place).chmod(0o777)
        script = CLOSED.format(source=str(Path(__file__).parents[3]), tree=f"{open_place}/tree")
        subprocess.run([sys.executable, "-I", "-c", script], check=True)
        assert list(Path(open_place).iterdir()) == []
