"""What other processes of a daemon's user can learn of it: nothing."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from typing import Any

CANARY = "canary-5b1e"
USER = "nobody"

# A process of a daemon's kind, which is nobody's but its user's.
BEGIN = """
import ctypes, json, os, subprocess, sys

from copilot.cli.privacy import forget_secrets, keep_to_itself

if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(int(sys.argv[1]))
    os.setuid(int(sys.argv[1]))
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
"""
FORGETS = """
forget_secrets({"AGENT_JABBER_PASSWORD"})
child = subprocess.run(["/usr/bin/env"], capture_output=True, text=True, check=True).stdout
print(json.dumps({"own": open("/proc/self/environ").read(), "child": child, "python": dict(os.environ)}))
"""
IS_CLOSED = """
pry = "; ".join([
    "(cat /proc/$PPID/environ || cat /proc/$PPID/maps || cat /proc/$PPID/fd/0) >/dev/null 2>&1 && echo open || echo closed",
    "ulimit -Hc",
    "cat /proc/$$/environ >/dev/null && echo readable",
])
def pried():
    return subprocess.run(["/bin/sh", "-c", pry], cwd="/", capture_output=True, text=True).stdout.split()
before = pried()
keep_to_itself()
print(json.dumps({"before": before, "after": pried()}))
"""


def said(program: str) -> Any:
    environ = {
        **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
        "AGENT_JABBER_PASSWORD": CANARY,
        "FINISHER_TOKEN": CANARY,
        "PLAIN": "kept",
    }
    argv = [sys.executable, "-c", BEGIN + program, str(pwd.getpwnam(USER).pw_uid)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_secrets_are_gone_from_its_environment_and_from_where_the_kernel_shows_it() -> None:
    found = said(FORGETS)
    assert "PLAIN=kept" in found["own"]
    assert "PLAIN=kept" in found["child"]
    assert "AGENT_JABBER_PASSWORD" not in found["python"]
    assert CANARY not in json.dumps(found)


def test_its_memory_environment_and_files_are_closed_and_what_it_starts_is_as_usual_without_core_files() -> (
    None
):
    found = said(IS_CLOSED)
    assert (found["before"][0], found["before"][2]) == ("open", "readable")
    assert found["after"] == ["closed", "0", "readable"]
