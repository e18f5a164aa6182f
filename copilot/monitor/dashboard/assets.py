"""The files of the page. All are read once, so no name from the wire ever becomes a path."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable

from copilot.records import dataclass

TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
PAGE = "index.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A file as it is served. `tag` changes with its content."""

    body: bytes
    kind: str
    tag: str


def load() -> Mapping[str, Asset]:
    """All files by their paths in URLs; `/` is the page."""
    found = dict(_below(resources.files("copilot.monitor.dashboard").joinpath("static"), "/static/"))
    found["/"] = found.pop(f"/static/{PAGE}")
    return found


def _below(directory: Traversable, path: str) -> list[tuple[str, Asset]]:
    found: list[tuple[str, Asset]] = []
    for entry in directory.iterdir():
        if entry.is_dir():
            found += _below(entry, f"{path}{entry.name}/")
        elif kind := TYPES.get(entry.name.rpartition(".")[2]):
            body = entry.read_bytes()
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            found.append((path + entry.name, Asset(body=body, kind=kind, tag=tag)))
    return found
