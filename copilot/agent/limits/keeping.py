"""How this agent holds its payloads to their limits: found out at the start, the same for every job."""

from __future__ import annotations

import enum
import logging
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field, replace
from pathlib import Path

from copilot.agent.limits.base import Group, NoLimits
from copilot.agent.limits.cgroup import Tree, find_tree
from copilot.agent.limits.rlimits import PROCESSES_OF_OURS
from copilot.agent.limits.watch import Watch
from copilot.job import Limits
from copilot.records import dataclass

log = logging.getLogger("copilot.agent")

WATCH = "watch"
MAX_PROCESSES, MAX_FILES = 4096, 1_000_000  # of a job, where nobody says otherwise
_SHELL = "/bin/sh"


class LimitsWish(enum.StrEnum):
    """How the operator wants limits kept."""

    AUTO = "auto"
    CGROUP = "cgroup"
    WATCH = "watch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One attempt under its limits: `limits` are those that hold, `watch` looks at it, `group` counts it if there is one."""

    limits: Limits
    watch: Watch
    group: Group | None

    def entered(self, argv: Sequence[str]) -> Sequence[str]:
        """What to start so that `argv` begins in the group."""
        if self.group is None:
            return argv
        return [_SHELL, "-c", f'{self.group.entrance} && exec "$@"', "sh", *argv]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """`most` is what any job may use, `each` what a job has of memory and disk for each of its cores unless it says what it needs, `files`
    how many things may lie in its directory. `tree`: where control groups are."""

    most: Limits = field(default_factory=Limits)
    each: Limits = field(default_factory=Limits)
    files: int | None = None
    tree: Tree | None = None

    @property
    def level(self) -> str:
        """In the words of the host's JDL."""
        return WATCH if self.tree is None else self.tree.level

    def limits(self, wanted: Limits, cores: int) -> Limits:
        """Those of a job that wants these, and has so many cores."""
        usual = replace(
            wanted,
            memory=wanted.memory or (self.each.memory and self.each.memory * cores),
            disk=wanted.disk or (self.each.disk and self.each.disk * cores),
        )
        return usual.within(self.most)

    def refusing(self, wanted: Limits, cores: int = 1) -> int | None:
        """The limit of memory because of which single processes of a job may be refused some; None where they are not."""
        return None if self.tree is not None else self.limits(wanted, cores).memory

    @contextmanager
    def hold(self, name: str, wanted: Limits, directory: Path, cores: int = 1) -> Iterator[Held]:
        """Limits for the attempt of that name. At the end nothing of it is left in its group. Raises OSError."""
        limits = self.limits(wanted, cores)
        group = None
        if self.tree is not None:
            tasks = None if limits.processes is None else limits.processes + PROCESSES_OF_OURS
            in_group = Limits(memory=limits.memory, processes=tasks)
            group = self.tree.make(name, in_group, cores)
        try:
            watch = Watch(limits=limits, directory=directory, files=self.files, group=group)
            yield Held(limits=limits, watch=watch, group=group)
        finally:
            if group is not None:
                group.end()

    def close(self) -> None:
        """Leave no groups."""
        if self.tree is not None:
            self.tree.close()


def keep(wish: LimitsWish, most: Limits, files: int | None, each: Limits | None = None) -> Keeping:
    """What the operator wants, tried out. Blocks for some ms. Raises `NoLimits`."""
    tree = None
    if wish is not LimitsWish.WATCH:
        try:
            tree = find_tree()
        except NoLimits as error:
            if wish is LimitsWish.CGROUP:
                raise
            log.info("limits are kept by looking at processes: %s", error)
    return Keeping(most=most, each=each or Limits(), files=files, tree=tree)


def most_open_files() -> int:
    """Of each process of a job, where nobody says otherwise."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]
