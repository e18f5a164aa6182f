"""Control groups of Linux (cgroups(7)): version 2 where its controllers are, else version 1.

A group of the agent's own holds one for each attempt. With version 2, processes may only be in leaves, so the agent moves into one
of its own; what is delegated to it (`Delegate=yes` of systemd, for instance) is the group that it was started in.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from copilot.agent.limits.base import NoLimits
from copilot.job import Limits
from copilot.records import dataclass

log = logging.getLogger("copilot.agent")

PATIENCE = 10.0  # s for processes to be gone after SIGKILL
_POLL = 0.002  # s
_OWN = "copilot-agent"
_V1 = ("memory", "pids", "cpuacct")
_V2 = ("memory", "pids")
_CPU = "cpu"  # we do without it where it is not delegated
_WEIGHT, _MOST_WEIGHT, _SHARES = 100, 10_000, 1024  # of one core, and the most (cgroups(7)): what is usual
# Of a limit: then it was reached. Some kernels count no failures (memory.failcnt), and memory is charged by the batch.
_FULL = 0.9
_NANOSECONDS, _MICROSECONDS = 1e-9, 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Where groups of attempts can be made: one directory for each controller, in version 2 the same one for all.

    `level` is `cgroup1` or `cgroup2`."""

    level: str
    directories: Mapping[str, Path]

    def make(self, name: str, limits: Limits, cores: int = 1) -> ControlGroup:
        """The group of one attempt, empty. Raises OSError."""
        group = ControlGroup(
            version=2 if self.level == "cgroup2" else 1,
            directories={controller: path / name for controller, path in self.directories.items()},
        )
        try:
            for path in group.places:
                path.mkdir(exist_ok=True)
            group.limit(limits)
            group.weigh(cores)
        except OSError:
            group.end()
            raise
        return group

    def clear(self) -> None:
        """Remove the groups that a former life has left, and kill what is in them."""
        for path in set(self.directories.values()):
            for left in path.glob("*.a*"):
                _remove(left)

    def close(self) -> None:
        """Take the agent's own groups away, if nothing is in them."""
        for path in set(self.directories.values()):
            with suppress(OSError):
                path.rmdir()


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlGroup:
    """Implements `copilot.agent.limits.base.Group`."""

    version: int
    directories: Mapping[str, Path]

    @property
    def places(self) -> list[Path]:
        """Its directories."""
        return list(dict.fromkeys(self.directories.values()))

    def limit(self, limits: Limits) -> None:
        """Have the kernel hold it to these. Swap counts as memory. Raises OSError."""
        memory, pids = self.directories["memory"], self.directories["pids"]
        if limits.processes is not None:
            (pids / "pids.max").write_text(str(limits.processes))
        if limits.memory is None:
            return
        if self.version == 2:
            (memory / "memory.max").write_text(str(limits.memory))
            with suppress(FileNotFoundError):
                (memory / "memory.swap.max").write_text("0")
            with suppress(FileNotFoundError):  # all of it, not the largest process alone; before Linux 4.19
                (memory / "memory.oom.group").write_text("1")
        else:
            (memory / "memory.limit_in_bytes").write_text(str(limits.memory))
            with suppress(FileNotFoundError, PermissionError):
                (memory / "memory.memsw.limit_in_bytes").write_text(str(limits.memory))

    def weigh(self, cores: int) -> None:
        """Where jobs want more of the processors than there is, each gets what is due to its cores. Some kernels do not do that."""
        place = self.directories["cpuacct"]
        with suppress(OSError):
            if self.version == 2:
                (place / "cpu.weight").write_text(str(min(_WEIGHT * cores, _MOST_WEIGHT)))
            elif (place / "cpu.shares").exists():  # mounted with cpuacct, most often
                (place / "cpu.shares").write_text(str(_SHARES * cores))

    @property
    def entrance(self) -> str:
        """A process of one thread moves itself: to move others waits for all processors (kernel/cgroup)."""
        file = "cgroup.procs" if self.version == 2 else "tasks"
        return " && ".join(f"echo 0 >{shlex.quote(f'{path}/{file}')}" for path in self.places)

    def cpu_time(self) -> float:
        """Seconds, of all processes that were in it."""
        place = self.directories["cpuacct"]
        if self.version == 2:
            return _named(place / "cpu.stat").get("usage_usec", 0) * _MICROSECONDS
        return int((place / "cpuacct.usage").read_text()) * _NANOSECONDS

    def memory_peak(self) -> int:
        """Bytes; 0 where the kernel does not tell (version 2 before Linux 5.19)."""
        place = self.directories["memory"]
        try:
            return int(
                (place / ("memory.peak" if self.version == 2 else "memory.max_usage_in_bytes")).read_text()
            )
        except FileNotFoundError:
            return 0

    def out_of_memory(self) -> int:
        """How many processes were killed for it. The kernel counts those as well that it killed because the machine, or a group above,
        had none left: then this one has never reached its own limit."""
        place = self.directories["memory"]
        if self.version == 2:
            events = _named(place / "memory.events")
            return events.get("oom_kill", 0) if events.get("oom", 0) else 0
        killed = _named(place / "memory.oom_control").get("oom_kill", 0)
        return killed if killed and any(_was_full(place / kind) for kind in ("memory", "memory.memsw")) else 0

    def forks_refused(self) -> int:
        """How often."""
        return _named(self.directories["pids"] / "pids.events").get("max", 0)

    def end(self) -> int:
        """Kill what is left and remove it; what hangs in the kernel stays, with a word in the log."""
        with suppress(OSError):  # nothing new is made meanwhile
            (self.directories["pids"] / "pids.max").write_text("0")
        return max((_remove(path) for path in self.places), default=0)


def _remove(path: Path) -> int:
    """Kill what is in a group and in those that its processes have made in it, and remove them; how many processes there were in it."""
    deadline, killed = time.monotonic() + PATIENCE, set[int]()
    while True:
        try:
            pids = {int(pid) for pid in (path / "cgroup.procs").read_text().split()}
            if not pids:
                path.rmdir()
                return len(killed)
        except FileNotFoundError:
            return len(killed)
        except OSError as error:  # EBUSY: there are groups in it, or a dead process is not quite gone
            _clear_inside(path)
            if time.monotonic() > deadline:
                log.error("%s cannot be removed: %s", path, error)
                return len(killed)
        else:
            if time.monotonic() > deadline:
                log.error("%s cannot be removed: processes %s survive SIGKILL", path, sorted(pids))
                return len(killed)
            killed |= pids
            _kill(path, pids)
        time.sleep(_POLL)  # nothing tells when a group is empty


def _clear_inside(path: Path) -> None:
    """The groups in a group, as an agent that is a job has them, from the innermost on, once: what is not gone at once is there the next
    time."""
    groups = [path]
    for group in groups:  # which grows meanwhile; payloads may have made them as deep as they like
        with suppress(OSError):
            groups += [inside for inside in group.iterdir() if inside.is_dir()]
    for group in reversed(groups[1:]):
        with suppress(OSError):
            _kill(group, {int(pid) for pid in (group / "cgroup.procs").read_text().split()})
            group.rmdir()


def _kill(path: Path, pids: Iterable[int]) -> None:
    """All in a group: by the one word that version 2 has for it (Linux 5.14), or else one by one."""
    try:
        (path / "cgroup.kill").write_text("1")
    except OSError:
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _was_full(counter: Path) -> bool:
    """Whether what this counter of version 1 counts has ever come to its limit."""
    most, limit = (_number(Path(f"{counter}.{name}")) for name in ("max_usage_in_bytes", "limit_in_bytes"))
    return most > 0 and most >= _FULL * limit


def _number(path: Path) -> int:
    """0 where the kernel does not count it."""
    try:
        return int(path.read_text())
    except FileNotFoundError:
        return 0


def _named(path: Path) -> dict[str, int]:
    """A file of lines `name number`."""
    pairs = (line.split() for line in path.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def find_tree(proc: Path = Path("/proc")) -> Tree:
    """The tree for this process, tried out: a group is made, limited, entered by a process and removed. Blocks for some ms.

    Raises `NoLimits`.
    """
    faults = []
    for tree in _candidates(proc):
        try:
            _try(tree)
        except (OSError, NoLimits) as error:
            faults.append(f"{tree.level}: {error}")
            tree.close()
        else:
            tree.clear()
            return tree
    raise NoLimits(
        f"no control groups can be made here ({'; '.join(faults) or 'none with memory and pids is mounted'}): start the agent "
        "by systemd with Delegate=yes, or set AGENT_LIMITS watch"
    )


def _try(tree: Tree) -> None:
    import subprocess

    prepare(tree)
    group = tree.make("trial.a0", Limits(memory=64 * 1024 * 1024, processes=16))
    try:
        text = f"{group.entrance} && cat /proc/self/cgroup"
        done = subprocess.run(
            ["/bin/sh", "-c", text], capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        if done.returncode != 0 or done.stdout.count("/trial.a0") < len(group.places):
            raise NoLimits(done.stderr.strip() or "a process could not enter its group")
        group.cpu_time(), group.memory_peak(), group.out_of_memory(), group.forks_refused()
    finally:
        group.end()


def prepare(tree: Tree) -> None:
    """Make the agent's own group. In version 2 the agent itself has to leave the one above. Raises OSError."""
    for path in set(tree.directories.values()):
        path.mkdir(exist_ok=True)
        _clear_dead(path.parent)
    if tree.level != "cgroup2":
        return
    own = next(iter(tree.directories.values()))
    leaf = own.parent / f"{_OWN}-self"
    leaf.mkdir(exist_ok=True)
    for pid in (own.parent / "cgroup.procs").read_text().split():
        with suppress(ProcessLookupError):
            (leaf / "cgroup.procs").write_text(pid)
    controllers = (*_V2, *([_CPU] if _CPU in _words(own.parent / "cgroup.controllers") else []))
    wanted = " ".join(f"+{controller}" for controller in controllers)
    (own.parent / "cgroup.subtree_control").write_text(wanted)
    (own / "cgroup.subtree_control").write_text(wanted)


def _clear_dead(home: Path) -> None:
    """Remove the groups of agents that were killed: their names end with a pid that nobody has any more."""
    for left in home.glob(f"{_OWN}-*"):
        pid = left.name.rpartition("-")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            for group in left.glob("*.a*"):
                _remove(group)
            with suppress(OSError):
                left.rmdir()


def _candidates(proc: Path) -> Iterator[Tree]:
    own = f"{_OWN}-{os.getpid()}"  # several agents may have been started in the same group
    mounted = _mounts((proc / "self/mountinfo").read_text())
    paths = _paths((proc / "self/cgroup").read_text())
    if "" in mounted and "" in paths:
        home = _inside(mounted[""], paths[""])
        controllers = _words(home / "cgroup.controllers")
        if set(_V2) <= controllers:
            if home.name == f"{_OWN}-self":  # a former life in the same unit
                home = home.parent
            yield Tree(level="cgroup2", directories=dict.fromkeys((*_V2, "cpuacct"), home / own))
    if all(name in mounted and name in paths for name in _V1):
        homes = {name: _inside(mounted[name], paths[name]) for name in _V1}
        yield Tree(
            level="cgroup1",
            directories={name: home / own for name, home in homes.items()},
        )


def _words(path: Path) -> set[str]:
    try:
        return set(path.read_text().split())
    except OSError:
        return set()


def _inside(mount: tuple[Path, str], path: str) -> Path:
    """Where a group lies: its path counts from the root of the hierarchy, which may be mounted in part."""
    point, root = mount
    below = path.removeprefix(root.rstrip("/"))
    return point / below.strip("/")


def _mounts(text: str) -> dict[str, tuple[Path, str]]:
    """Mount point and root of each controller of version 1, and of version 2 under the name "" (proc(5), mountinfo)."""
    found: dict[str, tuple[Path, str]] = {}
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, _, options) = before.split(), (*after.split(), "", "", "")[:3]
        if kind == "cgroup2":
            found.setdefault("", (Path(fields[4]), fields[3]))
        elif kind == "cgroup":
            for option in options.split(","):
                found.setdefault(option, (Path(fields[4]), fields[3]))
    return found


def _paths(text: str) -> dict[str, str]:
    """The group of this process for each controller, and in version 2 under the name "" (proc(5))."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found
