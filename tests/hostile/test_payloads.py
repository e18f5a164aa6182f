"""Payloads that mean harm, each beside a job of somebody else: they are stopped with the right cause, the agent and the other job go on.

As root: root's agent with control groups, then an ordinary user's with the watcher. As an ordinary user: that one alone. Around all of it
is a fence (a control group, if one can be had): a fault of ours shall cost a test, not the machine. What level `none` does not promise
is not tried: `docs/sandbox.md` says what that is.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from copilot.agent.limits.base import NoLimits
from copilot.agent.limits.cgroup import find_tree
from copilot.job import Limits
from copilot.local.provision import find
from tests.hostile.payloads import SCENARIOS, SECRET
from tests.missing import missing

GIBIBYTE = 2**30
LIMIT_S = 100.0  # of all scenarios of a level, below the limit of a test
LEVELS = ("root", "user") if os.geteuid() == 0 else ("user",)
CAUSES = {
    "fork bomb": "user-processes",
    "fork bomb of sessions": "user-processes",
    "memory hog": "user-memory",
    "memory hog of many": "user-memory",
    "memory at once": "user-memory",
    "large file": "user-disk",
    "many files": "user-disk",
    "file without a name": "user-disk",
    "locked directory": "user-disk",
    "file size": "user-file-size",
    "CPU burner": "user-cpu-time",
    "CPU burner that ignores signals": "user-cpu-time",
    "daemon": "ok",
}
BARE = ("memory hog", "large file", "CPU burner", "many files")


@pytest.fixture(scope="module")
def fence() -> Iterator[str]:
    """Shell text that enters it."""
    try:
        tree = find_tree()
        group = tree.make("fence.a1", Limits(memory=2 * GIBIBYTE, processes=600))
    except (NoLimits, OSError):
        yield "ulimit -u 2000"
        return
    yield group.entrance
    group.end()
    tree.close()


Results = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def results(fence: str) -> Any:
    """All scenarios of a level, run once."""
    if find("bwrap") is None or shutil.which("perl") is None:
        missing("bubblewrap or perl is not installed: make servers")

    @lru_cache
    def of(level: str) -> Results:
        place = Path(tempfile.mkdtemp(prefix="payloads-"))
        place.chmod(0o755)
        try:
            return told(level, place, fence)
        finally:
            shutil.rmtree(place)

    return of


def told(level: str, place: Path, fence: str) -> Results:
    names = BARE if level == "bare" else tuple(SCENARIOS)
    command = [sys.executable, "-m", "tests.hostile.payloads", level, str(place), *names]
    done = subprocess.run(
        ["/bin/sh", "-c", f'{fence} && exec "$@"', "sh", *command],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env={**os.environ, "COVERAGE_PROCESS_START": ""},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {one["scenario"]: one for one in map(json.loads, done.stdout.splitlines()[1:])}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CAUSES)
def test_it_is_stopped_for_what_it_does_and_harms_nobody(results: Any, level: str, name: str) -> None:
    one = results(level)[name]
    assert one["cause"] == CAUSES[name], one
    assert one["neighbour"] == ["ok", "1000"]
    assert one["left"] == []
    assert one["sandbox"].startswith("bubblewrap"), one
    assert one["took"] < 15


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "name",
    ["proc", "files of the agent", "network", "signals", "ptrace", "system calls", "links", "descriptors"],
)
def test_it_gets_at_nothing(results: Any, level: str, name: str) -> None:
    one = results(level)[name]
    said = json.dumps(one["files"]) + one["tail"]
    assert "GOT" not in said, one
    assert SECRET not in said
    assert "root:" not in said  # of /etc/shadow
    assert one["neighbour"] == ["ok", "1000"]
    assert one["left"] == []


@pytest.mark.parametrize("level", LEVELS)
def test_the_network_is_there_for_who_asked(results: Any, level: str) -> None:
    assert results(level)["network that was asked for"]["files"]["stdout"] == "connected"


@pytest.mark.parametrize("level", LEVELS)
def test_it_has_three_descriptors_and_no_more(results: Any, level: str) -> None:
    lines = results(level)["descriptors"]["files"]["stdout"].splitlines()
    assert {line.split()[8] for line in lines[1:]} <= {"0", "1", "2", "3"}  # the last one is that of ls
    assert "/proc/" in lines[-1] or len(lines) < 5


@pytest.mark.parametrize("name", BARE)
def test_without_a_sandbox_the_watcher_stops_it(results: Any, name: str) -> None:
    one = results("bare")[name]
    assert (one["cause"], one["neighbour"]) == (CAUSES[name], ["ok", "1000"]), one


def test_groups_that_a_payload_has_made_in_its_own_go_with_it() -> None:
    try:
        tree = find_tree()
    except NoLimits as error:
        pytest.skip(str(error))
    group = tree.make("nest.a1", Limits())
    inner = [path / "inner" / "deeper" for path in group.places]
    for path in inner:
        path.mkdir(parents=True)
    enter = " && ".join(f"echo 0 >{path}/cgroup.procs" for path in inner)
    with subprocess.Popen(
        ["/bin/sh", "-c", f"{enter} && echo in && exec sleep 600"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"in\n"
        group.end()
        assert process.wait(10) == -9
    assert not [path for path in group.places if path.exists()]
    tree.close()
