"""Control groups as files: what is written where, what is read from where. Real ones are tried in the hostile tests, as root."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from copilot.agent.limits.cgroup import ControlGroup, Tree, _candidates, prepare
from copilot.job import Limits

MOUNTS = """\
24 1 0:22 / {root}/v2 rw - cgroup2 cgroup2 rw,nsdelegate
25 1 0:23 / {root}/memory rw - cgroup cgroup rw,memory
26 1 0:24 /outer {root}/pids rw - cgroup cgroup rw,pids
27 1 0:25 / {root}/cpu rw - cgroup cgroup rw,cpu,cpuacct
"""


def machine(root: Path, groups: str) -> Path:
    """A /proc that says so."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text(MOUNTS.format(root=root))
    (root / "proc/self/cgroup").write_text(groups)
    return root / "proc"


def test_version_2_goes_first_if_its_controllers_are_there(tmp_path: Path) -> None:
    proc = machine(
        tmp_path, "0::/system.slice/agent.service\n4:memory:/a\n5:pids:/outer/b\n6:cpu,cpuacct:/\n"
    )
    home = tmp_path / "v2/system.slice/agent.service"
    home.mkdir(parents=True)
    (home / "cgroup.controllers").write_text("cpu memory pids\n")
    first, second = _candidates(proc)
    assert (first.level, set(first.directories.values())) == (
        "cgroup2",
        {home / f"copilot-agent-{os.getpid()}"},
    )
    assert second.level == "cgroup1"
    assert second.directories["memory"].parent == tmp_path / "memory/a"
    assert second.directories["pids"].parent == tmp_path / "pids/b"
    assert second.directories["cpuacct"].parent == tmp_path / "cpu"


def test_without_its_controllers_version_1_is_what_there_is(tmp_path: Path) -> None:
    proc = machine(tmp_path, "0::/\n4:memory:/\n5:pids:/outer\n6:cpu,cpuacct:/\n")
    (tmp_path / "v2").mkdir()
    (tmp_path / "v2/cgroup.controllers").write_text("hugetlb\n")
    assert [tree.level for tree in _candidates(proc)] == ["cgroup1"]


def test_the_agent_leaves_the_group_that_it_divides(tmp_path: Path) -> None:
    home = tmp_path / "agent.service"
    home.mkdir()
    (home / "cgroup.procs").write_text("12\n")
    tree = Tree(
        level="cgroup2", directories=dict.fromkeys(("memory", "pids", "cpuacct"), home / "copilot-agent")
    )
    prepare(tree)
    assert (home / "copilot-agent-self/cgroup.procs").read_text() == "12"
    assert (home / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert (home / "copilot-agent/cgroup.subtree_control").read_text() == "+memory +pids"


def test_version_2_in_its_own_words(tmp_path: Path) -> None:
    tree = Tree(level="cgroup2", directories=dict.fromkeys(("memory", "pids", "cpuacct"), tmp_path))
    place = tmp_path / "job.a1"
    place.mkdir()
    (place / "memory.oom.group").write_text("0")
    (place / "memory.swap.max").write_text("max")
    group = tree.make("job.a1", Limits(memory=1000, processes=7))
    assert group.entrance == f"echo 0 >{place}/cgroup.procs"
    said = {name: (place / name).read_text() for name in ("memory.max", "memory.swap.max", "pids.max")}
    assert said == {"memory.max": "1000", "memory.swap.max": "0", "pids.max": "7"}
    assert (place / "memory.oom.group").read_text() == "1"
    (place / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    (place / "memory.events").write_text("max 3\noom 1\noom_kill 2\n")
    (place / "pids.events").write_text("max 4\n")
    assert (group.cpu_time(), group.out_of_memory(), group.forks_refused(), group.memory_peak()) == (
        2.5,
        2,
        4,
        0,
    )
    (place / "memory.peak").write_text("999\n")
    assert group.memory_peak() == 999


def test_version_1_in_its_own_words(tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ("memory", "pids", "cpuacct")}
    for path in places.values():
        path.mkdir()
    group = ControlGroup(version=1, directories=places)
    group.limit(Limits(memory=1000, processes=7))
    assert (places["memory"] / "memory.limit_in_bytes").read_text() == "1000"
    assert group.entrance == " && ".join(f"echo 0 >{path}/tasks" for path in places.values())
    (places["memory"] / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    (places["cpuacct"] / "cpuacct.usage").write_text("1500000000\n")
    (places["memory"] / "memory.max_usage_in_bytes").write_text("1000\n")
    assert (group.out_of_memory(), group.cpu_time()) == (1, 1.5)


def test_memory_that_ran_out_elsewhere_is_no_excess(tmp_path: Path) -> None:
    """The kernel counts every process that it kills for want of memory, whoever has used it."""
    (tmp_path / "memory.events").write_text("max 0\noom 0\noom_kill 1\n")
    (tmp_path / "memory.oom_control").write_text("under_oom 0\noom_kill 1\n")
    (tmp_path / "memory.max_usage_in_bytes").write_text("500\n")
    (tmp_path / "memory.limit_in_bytes").write_text("1000\n")
    for version in (1, 2):
        assert ControlGroup(version=version, directories={"memory": tmp_path}).out_of_memory() == 0


def test_a_group_whose_name_a_shell_would_change_is_entered(tmp_path: Path) -> None:
    place = tmp_path / r"system-copilot\x2dagent.slice"  # of a template of systemd
    place.mkdir()
    group = ControlGroup(version=2, directories={"memory": place})
    subprocess.run(["/bin/sh", "-c", group.entrance], check=True)
    assert (place / "cgroup.procs").read_text() == "0\n"


def test_agents_in_one_group_leave_each_others_attempts_alone(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").touch()
    others = tmp_path / f"copilot-agent-{os.getppid()}/job.a1"
    others.mkdir(parents=True)
    tree = Tree(level="cgroup2", directories={"memory": tmp_path / f"copilot-agent-{os.getpid()}"})
    prepare(tree)
    tree.clear()
    assert others.exists()


def test_groups_of_an_agent_that_was_killed_go(tmp_path: Path) -> None:
    dead = 2**22 + 5  # no pid is so large
    left, lives = tmp_path / f"copilot-agent-{dead}", tmp_path / f"copilot-agent-{os.getppid()}"
    left.mkdir()
    lives.mkdir()
    prepare(Tree(level="cgroup1", directories={"memory": tmp_path / f"copilot-agent-{os.getpid()}"}))
    assert not left.exists()
    assert lives.exists()


def test_jobs_have_a_weight_by_their_cores_where_the_kernel_weighs(tmp_path: Path) -> None:
    new = ControlGroup(version=2, directories=dict.fromkeys(("memory", "pids", "cpuacct"), tmp_path))
    new.weigh(12)
    assert (tmp_path / "cpu.weight").read_text() == "1200"
    new.weigh(4095)
    assert (tmp_path / "cpu.weight").read_text() == "10000"
    old = ControlGroup(version=1, directories={"cpuacct": tmp_path})
    old.weigh(2)
    assert not (tmp_path / "cpu.shares").exists()  # not mounted together
    (tmp_path / "cpu.shares").write_text("1024")
    old.weigh(2)
    assert (tmp_path / "cpu.shares").read_text() == "2048"
