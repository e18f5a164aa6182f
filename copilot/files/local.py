"""Files by `file://` URLs: a file system that agents and managers share."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import unquote, urlsplit

from copilot.errors import BadName, TransferRefused
from copilot.files.base import FileFacts, public_url
from copilot.files.disk import disk_errors, open_file, open_file_below
from copilot.files.newfile import NewFile
from copilot.job import check_relative_name


class LocalClient:
    """A `FileClient` for `file:` URLs below `roots` (absolute directories); everything else is refused."""

    def __init__(self, roots: tuple[Path, ...]) -> None:
        self._roots = roots

    async def get(
        self, url: str, path: Path, *, size: int | None = None, sha256: str | None = None
    ) -> FileFacts:
        root, relative = self._locate(url)
        with (
            disk_errors(f"reading {public_url(url)}"),
            open_file_below(root, relative) as source,
            NewFile.at(path) as new,
        ):
            while await asyncio.to_thread(new.copy_block, source):
                if size is not None and new.size > size:
                    break  # `check` refuses it; the rest need not fill the disk
            new.check(public_url(url), size=size, sha256=sha256)
            new.commit(durable=False)
        return new.facts

    async def put(self, path: Path, url: str, *, facts: FileFacts) -> None:
        root, relative = self._locate(url)
        with (
            disk_errors(f"reading {path}"),
            open_file(str(path)) as source,
            NewFile.below(root, relative) as new,
        ):
            while await asyncio.to_thread(new.copy_block, source):
                pass
            new.check(f"{path} for {public_url(url)}", size=facts.size, sha256=facts.sha256)
            await asyncio.to_thread(new.commit)

    async def close(self) -> None:
        """Nothing is held."""

    def _locate(self, url: str) -> tuple[Path, str]:
        """The root that `url` lies below and the rest of its path."""
        shown = public_url(url)
        if not self._roots:
            raise TransferRefused(
                f"{shown}: file: URLs are switched off here; name the shared directory in AGENT_SHARED_DIR to allow them"
            )
        try:
            parts = urlsplit(url)
            path = unquote(parts.path, errors="strict")
            if (
                parts.scheme != "file"
                or parts.netloc not in ("", "localhost")
                or parts.query
                or parts.fragment
            ):
                raise BadName("expected file:///absolute/path, without host, query or fragment")
            for root in self._roots:
                if path.startswith(f"{str(root).rstrip('/')}/"):
                    return root, check_relative_name(path[len(str(root).rstrip("/")) + 1 :])
        except (BadName, ValueError) as error:
            raise TransferRefused(f"{shown}: {error}") from error
        allowed = ", ".join(map(str, self._roots))
        raise TransferRefused(f"{shown}: not below {allowed}; AGENT_SHARED_DIR names what may be used")
