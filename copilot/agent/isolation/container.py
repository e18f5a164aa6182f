"""What the tools for container images have in common: what they are told of a payload, and what of this agent they may know."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from copilot.agent.isolation.base import NoIsolation, Place
from copilot.records import dataclass

TEMPORARY_MIB = 64  # of /tmp and of /dev/shm each; they are memory
SHELL = "/bin/sh"  # an image has to have it
# Where a tool finds itself, its storage, its settings and what it logs in to registries with. Nothing else of the agent's.
_OF_TOOLS = (
    "PATH",
    "HOME",
    "LANG",
    "USER",
    "LOGNAME",
    "TZ",
    "DOCKER_CONFIG",
    "REGISTRY_AUTH_FILE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
_BEGINNINGS = ("XDG_", "CONTAINERS_", "APPTAINER_", "SINGULARITY_")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
_CLASHING = ',:"\n\r\0'  # with the syntax of --mount, which is a line of CSV, or of Apptainer's --home


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """`path` of this host appears as `there`; `read_only` or not."""

    path: Path
    there: Path
    read_only: bool = False

    def words(self, writable: str = "") -> str:
        """The value of `--mount`, which both tools read. Raises `NoIsolation` for paths that it cannot hold."""
        for path in (self.path, self.there):
            if any(character in str(path) for character in _CLASHING):
                raise NoIsolation(
                    f"{path}: image tools take no paths with commas, colons, quotes or line ends"
                )
        end = ",ro" if self.read_only else writable
        return f"type=bind,src={self.path},dst={self.there}{end}"


def mounts(place: Place) -> Iterator[Mount]:
    """An attempt's own."""
    seen = place.inside()
    yield Mount(path=place.payload, there=seen.payload)
    yield Mount(path=place.temporary, there=seen.temporary)
    if place.wrapper.is_dir():
        yield Mount(path=place.wrapper, there=seen.wrapper)
    for path, there in zip(place.streams, seen.streams, strict=True):
        yield Mount(path=path, there=there, read_only=True)
    if place.secrets is not None and seen.secrets is not None:
        yield Mount(path=place.secrets, there=seen.secrets, read_only=True)


def tool_environment() -> Mapping[str, str]:
    """The variables of a tool."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _OF_TOOLS or name.lower() in _PROXIES or name.startswith(_BEGINNINGS)
    }
