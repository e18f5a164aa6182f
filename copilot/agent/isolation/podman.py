"""Isolation by podman, for jobs that name a container image.

The container's processes stay in the agent's control groups (`--cgroups=disabled`, which crun can), so what counts an attempt and
ends it counts and ends these, too. They bear the attempt's token, as all of a payload's: the agent's guard finds them when the agent
has died. conmon(8), which podman starts beside, ends with them.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from copilot.agent.isolation.base import INSIDE, Account, Allowed, Launch, Place
from copilot.agent.isolation.container import SHELL, TEMPORARY_MIB, Mount, mounts, tool_environment
from copilot.agent.isolation.first import first_command
from copilot.agent.isolation.image import Reference
from copilot.records import dataclass

NAME = "podman"
# podman passes on descriptors from 3 up, and copies standard input: the report goes as 3.
_GIVE_REPORT = 'exec "$@" 3<&0 </dev/null'
_TAKE_REPORT = "exec 0<&3 3<&-"
_SCOPE = ("--cgroup-manager=cgroupfs", "--events-backend=none", "--log-level=error")
_APART = (
    "--rm",
    "--pull=never",  # that is done before
    "--cgroups=disabled",
    "--pids-limit=-1",  # ours hold
    "--pid=private",
    "--ipc=private",
    "--uts=private",
    "--hostname=job",
    "--read-only",
    "--read-only-tmpfs=false",
    "--image-volume=ignore",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--security-opt=label=disable",  # the attempt's directories have the labels of the agent's
    "--env-host=false",
    "--http-proxy=false",
    "--no-hosts",
    "--no-healthcheck",
    "--systemd=false",
    "--log-driver=none",
    "--preserve-fds=1",
    f"--shm-size={TEMPORARY_MIB}m",
    f"--tmpfs=/tmp:rw,nosuid,nodev,size={TEMPORARY_MIB}m,mode=1777",
    "--workdir=/",
    f"--entrypoint={SHELL}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Podman:
    """`program` is podman's path, `image` the words that name what to run. `account`: whose name payloads run under if the agent is
    root; else they run as its user, who is 0 inside. `shown`: directories and files of the host that are there, too."""

    program: str
    image: tuple[str, ...] = ()
    account: Account | None = None
    shown: tuple[Path, ...] = ()

    counts_processes = False

    @property
    def level(self) -> str:
        """As on each job."""
        return f"{NAME}+net"

    @property
    def kinds(self) -> tuple[str, ...]:
        """It reads no SIF."""
        return ("docker",)

    def inside(self, place: Place) -> Place:
        """As in `Place`."""
        return place.inside()

    def of(self, image: Reference | Path) -> Podman:
        """For jobs of this image."""
        return replace(self, image=(str(image),))

    def of_directory(self, root: Path, shown: Sequence[Path]) -> Podman:
        """For a trial: a directory as the file system."""
        return replace(self, image=("--rootfs", str(root)), shown=tuple(shown))

    def is_here(self, image: Reference) -> list[str]:
        """The command that ends with 0 if the image need not be fetched."""
        return [self.program, *_SCOPE, "image", "exists", str(image)]

    def fetch(self, image: Reference) -> list[str]:
        """The command that fetches it."""
        return [self.program, *_SCOPE, "pull", "--quiet", str(image)]

    @contextmanager
    def launch(self, argv: Sequence[str], place: Place, allowed: Allowed) -> Iterator[Launch]:
        """podman with all that the payload may see."""
        first = first_command(
            argv, INSIDE / "payload", needs=allowed.needs, preamble=allowed.preamble, opening=_TAKE_REPORT
        )
        command = [self.program, *_SCOPE, "run", *_APART, *self._own(place, allowed), *self.image, *first[1:]]
        yield Launch(
            argv=["/bin/sh", "-c", _GIVE_REPORT, "sh", *command],
            cwd=Path("/"),
            contained=True,
            environment=tool_environment(),
        )

    def forgets(self, allowed: Allowed) -> bool:
        """As with bubblewrap."""
        return not allowed.network

    def _own(self, place: Place, allowed: Allowed) -> Iterator[str]:
        yield f"--network={'host' if allowed.network else 'none'}"
        yield "--user=0:0" if self.account is None else f"--user={self.account.uid}:{self.account.gid}"
        yield from _ulimits()
        for mount in mounts(place):
            yield f"--mount={mount.words()}"
        for device in allowed.devices:
            yield f"--device={device}"
        for path in self.shown:
            yield f"--mount={Mount(path=path, there=path, read_only=True).words()}"
        for name, value in allowed.environment.items():
            yield f"--env={name}={value}"


def _ulimits() -> Iterator[str]:
    """Those of the agent: podman's own wishes may be more than it may give. podman lets itself have as many processes as there are
    process numbers, and can give no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield f"--ulimit=nofile={soft}:{hard}"
    numbers = int(Path("/proc/sys/kernel/pid_max").read_text())
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    most = numbers if processes == resource.RLIM_INFINITY else min(processes, numbers)
    yield f"--ulimit=nproc={most}:{most}"
