from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tools.pack import onefile, parts, unpacking
from tools.pack.unpacking import CannotRun

SAYS = b"def main():\n    import sys\n    print(__file__, *sys.argv[1:])\n    return 7\n"
MANIFEST = {"pythons": ["3.11", "3.12"], "machine": "x86_64", "glibc": [2, 28], "name": "copilot-agent"}
FOUND = {"implementation": "cpython", "python": "3.12", "machine": "x86_64", "glibc": [2, 36]}

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in one file, for this Python."""
    monkeypatch.setattr(onefile, "ENTRY", "deep.inside:main")
    content = {"deep/__init__.py": b"", "deep/inside.py": SAYS}
    path = tmp_path / "program.pyz"
    onefile.write(path, onefile.archive({parts.HERE: content}, platform.machine()))
    return path


@pytest.fixture
def run(file: Path, tmp_path: Path) -> Run:
    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, file, *arguments],
            env={"HOME": str(tmp_path / "home"), **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "home" / ".cache" / "copilot-agent"


def test_it_runs_out_of_a_private_directory_and_the_second_time_out_of_the_same(
    run: Run, place: Path
) -> None:
    first = run("--one", "two")
    assert (first.returncode, first.stderr) == (7, "")
    (directory,) = place.iterdir()
    assert first.stdout == f"{directory}/deep/inside.py --one two\n"
    assert [path.stat().st_mode & 0o777 for path in (place, directory)] == [0o700, 0o700]
    before = directory.stat()
    assert run("--one", "two").stdout == first.stdout
    assert (directory.stat().st_ino, list(place.iterdir())) == (before.st_ino, [directory])


def test_what_others_could_have_written_is_not_run(run: Run, place: Path) -> None:
    run()
    (directory,) = place.iterdir()
    directory.chmod(0o777)
    refused = run()
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"program.pyz: {directory} must be a directory of user {os.geteuid()}" in refused.stderr
    directory.chmod(0o700)
    place.chmod(0o720)
    assert f"{place} must be a directory" in run().stderr


def test_a_link_in_its_place_is_not_followed(run: Run, place: Path, tmp_path: Path) -> None:
    run()
    (directory,) = place.iterdir()
    directory.rename(tmp_path / "elsewhere")
    directory.symlink_to(tmp_path / "elsewhere")
    assert "must be a directory" in run().stderr


def test_where_it_cannot_unpack_it_says_what_to_do(run: Run, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("no directory")
    refused = run()
    assert refused.returncode == 2
    assert "cannot be unpacked into" in refused.stderr
    assert "set COPILOT_UNPACK_DIR to another directory of yours" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert run(COPILOT_UNPACK_DIR=str(tmp_path / "here")).returncode == 7


def test_an_archive_that_is_cut_off_is_refused_and_leaves_nothing(run: Run, file: Path, place: Path) -> None:
    data = file.read_bytes()
    at = data.index(b"all/deep/inside.py") + 25
    file.write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
    refused = run()
    assert refused.returncode == 2
    assert refused.stderr.startswith("program.pyz: ")
    assert "Traceback" not in refused.stderr
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"COPILOT_UNPACK_DIR": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/d"}, "/a"),
        ({"XDG_CACHE_HOME": "/b", "CACHE_DIRECTORY": "/c", "HOME": "/d"}, "/b/copilot-agent"),
        ({"CACHE_DIRECTORY": "/c:/c2", "HOME": "/d"}, "/c/copilot-agent"),
        ({"HOME": "/d"}, "/d/.cache/copilot-agent"),
    ],
)
def test_where_it_unpacks(variables: Mapping[str, str], wanted: str) -> None:
    assert unpacking.cache("copilot-agent", variables) == wanted


def test_it_runs_where_it_is_made_for() -> None:
    unpacking.check(MANIFEST, FOUND)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"python": "3.8"}, "this is cpython 3.8, x86_64, glibc 2.36"),
        ({"implementation": "pypy"}, "this is pypy 3.12"),
        ({"machine": "aarch64"}, "3.12, aarch64"),
        ({"glibc": [2, 17]}, "glibc 2.17"),
        ({"glibc": []}, "without glibc"),
    ],
)
def test_elsewhere_it_says_what_it_is_made_for(change: dict[str, Any], said: str) -> None:
    with pytest.raises(
        CannotRun, match=r"made for CPython 3\.11 or 3\.12 on Linux, x86_64, with glibc 2\.28"
    ) as error:
        unpacking.check(MANIFEST, {**FOUND, **change})
    assert said in str(error.value)


def test_this_python_is_known() -> None:
    assert unpacking.here()["python"] == parts.HERE
