"""Limits as numbers: what counts of two, what goes to a shell, what lies in a directory, what an end means."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from copilot.agent.limits.rlimits import ProcessLimits
from copilot.agent.limits.watch import Watch, disk_use
from copilot.job import Cause, Limits

MEBIBYTE = 1024 * 1024
AS_NOBODY = "if os.geteuid() == 0: os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"


def test_the_smaller_counts() -> None:
    asked, most = Limits(memory=5, disk=9), Limits(memory=7, disk=3, processes=4)
    assert asked.within(most) == Limits(memory=5, disk=3, processes=4)


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_a_shell_sets_them(shell: str) -> None:
    if not Path(shell).exists():
        pytest.skip(f"there is no {shell}")
    limits = ProcessLimits(cpu=7, data=512 * MEBIBYTE, file_size=3 * MEBIBYTE, open_files=99, processes=500)
    text = f"{limits.shell()}\ncat /proc/self/limits"
    argv0 = "sh"  # as which bash counts in the same units
    done = subprocess.run([argv0, "-c", text], executable=shell, capture_output=True, text=True, check=True)
    found = {line[:26].strip(): line[26:].split()[:2] for line in done.stdout.splitlines()}
    assert found["Max cpu time"] == ["7", "12"]
    assert found["Max file size"] == [str(3 * MEBIBYTE)] * 2
    assert found["Max data size"] == [str(512 * MEBIBYTE)] * 2
    assert found["Max open files"] == ["99", "99"]
    assert found["Max processes"] == ["500", "500"]
    assert found["Max core file size"] == ["0", "0"]


def test_what_lies_in_a_directory(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/large").write_bytes(bytes(100_000))
    (tmp_path / "twice").hardlink_to(tmp_path / "a/b/large")
    (tmp_path / "link").symlink_to("/usr")
    (tmp_path / "a/b").chmod(0)
    found = disk_use(tmp_path)
    assert found.largest == 100_000
    assert found.files == 5
    assert 100_000 <= found.size < 150_000
    assert disk_use(tmp_path, files=2).files == 3  # and no further


def test_a_tree_that_is_too_deep_is_over_its_quota(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    excess = Watch(limits=Limits(disk=MEBIBYTE), directory=tmp_path).look_at_disk()
    assert excess is not None
    assert excess.cause is Cause.USER_DISK


@pytest.mark.parametrize(
    ("limits", "code", "number", "cpu", "cause"),
    [
        (Limits(cpu_time=2.0), 0, None, 9.0, None),
        (Limits(cpu_time=2.0), 1, None, 1.0, None),
        (Limits(cpu_time=2.0), 1, None, 2.5, Cause.USER_CPU_TIME),
        (Limits(cpu_time=2.0), None, signal.SIGXCPU, 1.9, Cause.USER_CPU_TIME),
        (Limits(cpu_time=2.0), None, signal.SIGXCPU, 0.1, None),
        (Limits(file_size=1000), None, signal.SIGXFSZ, 0.1, Cause.USER_FILE_SIZE),
        (Limits(disk=4096), 1, None, 0.1, Cause.USER_DISK),
        (Limits(), None, signal.SIGKILL, 0.1, None),
    ],
)
def test_an_end_that_a_limit_brought(
    tmp_path: Path, limits: Limits, code: int | None, number: int | None, cpu: float, cause: Cause | None
) -> None:
    (tmp_path / "made").write_bytes(bytes(10_000))
    excess = Watch(limits=limits, directory=tmp_path).at_end(code, number, cpu, None)
    assert (excess and excess.cause) == cause


@pytest.mark.parametrize("how", ["shell", "prlimit"])
def test_an_agent_with_a_limit_of_its_own_still_runs_jobs(how: str) -> None:
    code = (
        "import os, resource, subprocess, sys\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (100, 100))\n"
        "from copilot.agent.limits.rlimits import ProcessLimits\n"
        f"{AS_NOBODY}"
        "limits = ProcessLimits(cpu=98, open_files=99)\n"
        f"if {how!r} == 'shell': os.execv('/bin/sh', ['sh', '-c', limits.shell() + '\\ncat /proc/self/limits'])\n"
        "limits.set_for(os.getpid())\n"
        "sys.stdout.write(open('/proc/self/limits').read())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = {line[:26].strip(): line[26:].split()[:2] for line in done.stdout.splitlines()}
    assert (found["Max cpu time"], found["Max open files"]) == (["98", "100"], ["99", "99"])


def test_a_directory_that_can_be_listed_only_is_counted(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked/file").write_bytes(bytes(10_000))
    (tmp_path / "locked").chmod(0o600)
    code = (
        "import os, pathlib, sys\n"
        "from copilot.agent.limits.watch import disk_use\n"
        f"{AS_NOBODY}"
        "print(disk_use(pathlib.Path('.')).largest)\n"
    )
    if os.geteuid() == 0:
        os.chown(tmp_path, 65534, 65534)
        os.chown(tmp_path / "locked", 65534, 65534)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "10000\n", done.stderr
