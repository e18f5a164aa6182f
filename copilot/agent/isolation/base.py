"""The port: how a payload is kept apart from its host. One maker each: `bubblewrap`, images, none.

A maker changes how a command is started, and nothing else: who waits for it, what its output becomes and when it has to
end stays the affair of `copilot.agent.processes`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import field
from pathlib import Path
from typing import Protocol

from copilot.errors import CopilotError
from copilot.records import dataclass

NONE = "none"
INSIDE = Path("/job")  # where a payload finds what is its own, if it has a file system of its own


class Network(enum.StrEnum):
    """Which payloads may use the network of the host."""

    NEVER = "never"
    ASKED = "asked"  # those whose job asks for it
    ALWAYS = "always"


class ToolWish(enum.StrEnum):
    """Which tool the operator wants for container images."""

    AUTO = "auto"
    APPTAINER = "apptainer"
    PODMAN = "podman"
    NONE = "none"


class Pull(enum.StrEnum):
    """When an image is fetched from its registry."""

    NEVER = "never"
    MISSING = "missing"
    ALWAYS = "always"


class NoIsolation(CopilotError):
    """Payloads cannot be kept apart here in the way that was asked for; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The paths that belong to one attempt, as this host has them or as its payload sees them. `streams` may be
    read by a payload, as `secrets` may, the rest is its own."""

    payload: Path
    temporary: Path
    wrapper: Path
    streams: tuple[Path, ...] = ()
    secrets: Path | None = None

    def inside(self) -> Place:
        """The same paths for every job, below `INSIDE`: they tell nothing of the host."""
        return Place(
            payload=INSIDE / "payload",
            temporary=INSIDE / "tmp",
            wrapper=INSIDE / "wrapper",
            streams=tuple(INSIDE / path.name for path in self.streams),
            secrets=None if self.secrets is None else INSIDE / "secrets",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user of this host under whose name payloads run."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What to start instead of a payload's own command.

    `descriptors` go to it, and `environment` instead of the payload's if what is started is a tool that sets that itself. `contained`: its processes have a process table of their own that ends with its first one, which
    is `first.SCRIPT`; nothing of them can outlive that.
    """

    argv: Sequence[str]
    cwd: Path
    descriptors: tuple[int, ...] = ()
    contained: bool = False
    environment: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What one job may have, and needs: `network`; the programs without which it cannot begin (`needs`); the shell text that sets
    limits of its processes (`preamble`); the `devices` of the host that are its own. `environment` is what its payload gets."""

    network: bool = False
    needs: tuple[str, ...] = ()
    preamble: str = ""
    devices: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


class Isolation(Protocol):
    """One way to keep payloads apart, found out to work here."""

    @property
    def level(self) -> str:
        """What it does, in words for people and for the host's JDL: `bubblewrap+net+seccomp`."""
        ...

    @property
    def counts_processes(self) -> bool:
        """Whether RLIMIT_NPROC counts the processes of one job alone."""
        ...

    @property
    def account(self) -> Account | None:
        """Who owns the files of payloads, if that is not the agent's user."""
        ...

    def inside(self, place: Place) -> Place:
        """The paths as the payload sees them."""
        ...

    def launch(self, argv: Sequence[str], place: Place, allowed: Allowed) -> AbstractContextManager[Launch]:
        """How to start `argv`, whose words are meant as the payload sees them. What it opens is closed at the end."""
        ...

    def forgets(self, allowed: Allowed) -> bool:
        """Whether nobody can know the attempt's directories any more when its command has ended."""
        ...


class Bare:
    """No isolation: the payload is a process like any other of the agent's user."""

    level = NONE
    account = None
    counts_processes = False

    def inside(self, place: Place) -> Place:
        """All as it is."""
        return place

    def launch(self, argv: Sequence[str], place: Place, allowed: Allowed) -> AbstractContextManager[Launch]:
        """The command itself."""
        del allowed
        return nullcontext(Launch(argv=argv, cwd=place.payload))

    def forgets(self, allowed: Allowed) -> bool:
        """As it has always been (decision 13)."""
        del allowed
        return True
