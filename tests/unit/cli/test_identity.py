"""Root gives itself up for good, and can still load its code from where only root can go."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from copilot.cli.identity import RUN_AS, become_configured_user
from copilot.errors import ConfigError

USER = "nobody"
SIGKILL = 9

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

# A program in a process of its own; tells on its standard output what it finds after the change of user.
PROGRAM = """
import ctypes, importlib.resources, json, os, pathlib, sys

import early
from copilot.cli.identity import become_configured_user

become_configured_user()

import alone
import early.late
from copilot.files import area


def readable(path):
    try:
        return bool(pathlib.Path(path).read_text())
    except PermissionError:
        return False


def can_go_back():
    try:
        os.setuid(0)
    except PermissionError:
        return False
    return True


death = ctypes.c_int(-1)
ctypes.CDLL(None).prctl(2, ctypes.byref(death), 0, 0, 0)  # PR_GET_PDEATHSIG
code = pathlib.Path(sys.argv[1])
renamed = pathlib.Path(early.__path__[0]).parent
facts = {
    "user": os.getresuid(),
    "group": os.getresgid(),
    "groups": os.getgroups(),
    "environment": os.environ.get("COPILOT_RUN_AS"),
    "late": early.late.VALUE,
    "alone": alone.VALUE,
    "data": importlib.resources.files("early").joinpath("data.txt").read_text(),
    "death": death.value,
    "reads": [str(p) for p in (code / "secret", renamed / "secret", renamed / ".." / "open") if readable(p)],
    "can_go_back": can_go_back(),
}
print(json.dumps(facts), flush=True)
if "--stay" in sys.argv:
    sys.stdin.read()
"""

# Starts the program and lives until it is killed.
PARENT = "import subprocess, sys; subprocess.run(sys.argv[1:])"


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    """The command line of the program, which lies below a directory that is closed to everybody but root."""
    closed = tmp_path / "closed"
    code = closed / "code"
    (code / "early").mkdir(parents=True)
    for name, text in {
        "early/__init__.py": "",
        "early/late.py": "VALUE = 'late'\n",
        "early/data.txt": "data",
        "alone.py": "VALUE = 'alone'\n",
        "program.py": PROGRAM,
        "secret": "secret",
        "../open": "readable, but in a closed directory",
    }.items():
        (code / name).write_text(text)
        (code / name).chmod(0o600 if name == "secret" else 0o644)
    closed.chmod(0o700)
    return [sys.executable, str(code / "program.py"), str(code)]


def environment(user: str) -> dict[str, str]:
    """Without what starts a measurement of coverage, which could not write its file as somebody else."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    return {**kept, RUN_AS: user}


@as_root
def test_it_is_nobody_and_loads_and_reads_what_lies_where_only_root_can_go(program: list[str]) -> None:
    done = subprocess.run(program, check=True, capture_output=True, text=True, env=environment(USER), cwd="/")
    user = pwd.getpwnam(USER)
    assert json.loads(done.stdout) == {
        "user": [user.pw_uid] * 3,
        "group": [user.pw_gid] * 3,
        "groups": [],
        "environment": None,  # what it starts is not asked to change again
        "late": "late",
        "alone": "alone",
        "data": "data",
        "death": SIGKILL,
        "reads": [],
        "can_go_back": False,
    }
    assert done.stderr == ""


@as_root
def test_it_dies_with_the_one_that_started_it(program: list[str]) -> None:
    command = [sys.executable, "-c", PARENT, *program, "--stay"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(USER), cwd="/"
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline().startswith(b"{")
        parent.kill()
        assert parent.stdout.read() == b""  # the pipe is closed: nobody is left who holds it


def test_an_unknown_user_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUN_AS, "nobody-of-that-name")
    with pytest.raises(ConfigError, match=f"{RUN_AS}: there is no user 'nobody-of-that-name'"):
        become_configured_user()


@pytest.mark.parametrize("user", [None, pwd.getpwuid(os.geteuid()).pw_name])
def test_without_another_user_nothing_happens(monkeypatch: pytest.MonkeyPatch, user: str | None) -> None:
    monkeypatch.delenv(RUN_AS, raising=False)
    if user is not None:
        monkeypatch.setenv(RUN_AS, user)
    before = os.getresuid(), os.getgroups(), list(sys.path)
    become_configured_user()
    assert (os.getresuid(), os.getgroups(), list(sys.path)) == before
    assert RUN_AS not in os.environ


@pytest.mark.skipif(os.geteuid() == 0, reason="root can")
def test_only_root_can_become_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUN_AS, "root")
    with pytest.raises(ConfigError, match="only root can become 'root'"):
        become_configured_user()
