"""The name of a container image, as a job has it: what of it may reach a tool's command line, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from copilot.errors import BadName, CopilotError
from copilot.records import dataclass

DOCKER = "docker://"
HUB = "docker.io"  # where names without a registry live
_OURS = "localhost"  # images of this host, which are never fetched
_REGISTRY = r"(?P<registry>localhost|[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+(?::[0-9]{1,5})?|[a-z0-9-]+:[0-9]{1,5})"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
# As the specification of OCI's registries has it (distribution-spec, "Pulling manifests").
_NAME = re.compile(
    rf"(?:{_REGISTRY}/)?(?P<path>{_PART}(?:/{_PART})*)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}))?(?:@(?P<digest>sha256:[0-9a-f]{{64}}))?\Z",
    re.ASCII,
)


class NoImage(CopilotError):
    """This host cannot have the image; the text says why, and whose affair that is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An image of a registry, by its whole name: begins with a letter or digit, so no tool takes it for an option."""

    registry: str
    rest: str

    @classmethod
    def of(cls, image: str) -> Reference:
        """What `docker://…` means: without a registry, one of Docker's. Raises `BadName`."""
        match = _NAME.match(image.removeprefix(DOCKER))
        if not image.startswith(DOCKER) or match is None:
            raise BadName(f"image {image[:140]!r}: expected docker://[registry/]name[:tag][@sha256:digest]")
        path = match["path"]
        if match["registry"] is None and "/" not in path:
            path = f"library/{path}"
        tag = f":{match['tag']}" if match["tag"] else "" if match["digest"] else ":latest"
        digest = f"@{match['digest']}" if match["digest"] else ""
        if digest:
            tag = ""  # the digest alone says what it is, and tools refuse both
        return cls(registry=match["registry"] or HUB, rest=f"{path}{tag}{digest}")

    @property
    def local(self) -> bool:
        """Whether it was made here and lies in no registry."""
        return self.registry == _OURS

    def __str__(self) -> str:
        return f"{self.registry}/{self.rest}"


def file_of(image: str, directory: Path | None) -> Path:
    """The file of this host that a path names, below `directory`; symlinks resolved. Raises `NoImage`."""
    if directory is None:
        raise NoImage(f"image {image}: this agent takes no image files (AGENT_IMAGE_DIR is not set)")
    below = directory.resolve()
    try:
        path = Path(image).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise NoImage(f"image {image}: there is no such file on this host") from error
    if not path.is_relative_to(below) or not path.is_file():
        raise NoImage(f"image {image}: no file below {below}, where this agent's images are")
    return path
