"""Isolation by Apptainer, for jobs that name a container image: of a registry, or a file of this host.

Its processes are children of the agent's, in its control groups and with the attempt's token. The container has no first process of
its own kind: ours is the child of Apptainer's, which reaps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from copilot.agent.isolation.base import INSIDE, Account, Allowed, Launch, Place
from copilot.agent.isolation.container import Mount, mounts, tool_environment
from copilot.agent.isolation.first import first_command
from copilot.agent.isolation.image import DOCKER, Reference
from copilot.records import dataclass

NAME = "apptainer"
_PASSED = "APPTAINERENV_"  # variables of that name reach the payload without it
_HOME = "HOME"  # --home sets it
# Our shell outlives a SIGTERM to the group, so that the payload may tidy up; what it starts takes the signal as usual.
_OUTLIVE = "trap : TERM"
_APART = (
    "--containall",  # namespaces of processes and IPC, /tmp and a small /dev of its own, clean environment
    "--uts",
    "--hostname=job",
    "--no-mount=bind-paths,hostfs,cwd",
    "--no-privs",
    "--no-eval",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Apptainer:
    """`program` is its path; `store` is where fetched images lie. The rest is as in `Podman`."""

    program: str
    store: Path
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
        """It reads both."""
        return ("docker", "sif")

    def inside(self, place: Place) -> Place:
        """As in `Place`."""
        return place.inside()

    def of(self, image: Reference | Path) -> Apptainer:
        """For jobs of this image."""
        return replace(self, image=(str(self.file(image) if isinstance(image, Reference) else image),))

    def of_directory(self, root: Path, shown: Sequence[Path]) -> Apptainer:
        """For a trial: a directory as the file system."""
        return replace(self, image=(str(root),), shown=tuple(shown))

    def file(self, image: Reference) -> Path:
        """Where a fetched image lies."""
        return self.store / f"{hashlib.sha256(str(image).encode()).hexdigest()}.sif"

    def is_here(self, image: Reference) -> list[str]:
        """The command that ends with 0 if the image need not be fetched."""
        return ["/bin/sh", "-c", '[ -f "$1" ]', "sh", str(self.file(image))]

    def fetch(self, image: Reference) -> list[str]:
        """The command that fetches it; the file is whole or not there."""
        script = (
            'mkdir -p "$3" && trap \'rm -f "$4"\' EXIT && "$1" --quiet pull --force "$4" "$2" && mv "$4" "$5"'
        )
        file = self.file(image)
        words = (self.program, f"{DOCKER}{image}", str(self.store), f"{file}.new", str(file))
        return ["/bin/sh", "-c", script, "sh", *words]

    @contextmanager
    def launch(self, argv: Sequence[str], place: Place, allowed: Allowed) -> Iterator[Launch]:
        """apptainer with all that the payload may see."""
        first = first_command(
            argv, INSIDE / "payload", needs=allowed.needs, preamble=allowed.preamble, opening=_OUTLIVE
        )
        passed = {f"{_PASSED}{name}": value for name, value in allowed.environment.items() if name != _HOME}
        yield Launch(
            argv=[self.program, "--silent", "exec", *_APART, *self._own(place, allowed), *self.image, *first],
            cwd=Path("/"),
            contained=True,
            environment={**tool_environment(), **passed},
        )

    def forgets(self, allowed: Allowed) -> bool:
        """As with bubblewrap."""
        return not allowed.network

    def _own(self, place: Place, allowed: Allowed) -> Iterator[str]:
        if not allowed.network:
            yield from ("--net", "--network=none")
        if self.account is not None:
            yield f"--security=uid:{self.account.uid},gid:{self.account.gid}"
        if any(device.name.startswith("nvidia") for device in allowed.devices):
            yield "--nv"  # all of them, and their libraries, which an image does not have
        elif allowed.devices:
            yield "--rocm"
        seen = self.inside(place)
        for mount in mounts(place):
            if mount.there == seen.payload:  # which is the home directory, too
                mount.words()
                yield f"--home={mount.path}:{mount.there}"
            else:
                yield f"--mount={mount.words()}"
        for path in self.shown:
            yield f"--mount={Mount(path=path, there=path, read_only=True).words()}"
        yield f"--pwd={seen.payload}"
