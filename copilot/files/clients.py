"""One client for all URLs: picks the one for the scheme, and makes it when the first such URL comes.

An agent that never sees an `https:` URL never imports aiohttp (9 MB); keep imports here light.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from copilot.errors import TransferError, TransferRefused
from copilot.files.base import FileClient, FileFacts, public_url
from copilot.files.counts import FETCH, STORE, TransferCounts

Factory = Callable[[], FileClient]


class Files:
    """A `FileClient` over others, which counts what it does. Schemes with the same factory share one client."""

    def __init__(
        self, factories: Mapping[str, Factory], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`factories` maps a scheme in lower case to what makes its client."""
        self.counts = TransferCounts()
        self._clock = clock
        self._factories = dict(factories)
        self._made: dict[Factory, FileClient] = {}

    @classmethod
    def standard(
        cls, *, ca_file: Path | None = None, shared: tuple[Path, ...] = (), chirp_ticket: Path | None = None
    ) -> Self:
        """`http:`, `https:`, `chirp:` and, below the `shared` directories, `file:`. `ca_file` (PEM): see `HttpClient`.

        Raises `TransferRefused` if `chirp_ticket` is a file without a ticket.
        """
        credentials = None
        if chirp_ticket is not None:
            from copilot.files.chirp.authentication import Credentials

            credentials = Credentials.with_ticket(chirp_ticket)

        def http() -> FileClient:
            from copilot.files.http import HttpClient

            return HttpClient(ca_file=ca_file)

        def local() -> FileClient:
            from copilot.files.local import LocalClient

            return LocalClient(shared)

        def chirp() -> FileClient:
            from copilot.files.chirp.client import ChirpClient

            return ChirpClient(credentials=credentials)

        return cls({"http": http, "https": http, "chirp": chirp, "file": local})

    async def get(
        self, url: str, path: Path, *, size: int | None = None, sha256: str | None = None
    ) -> FileFacts:
        return await self._counted(url, FETCH, self._client(url).get(url, path, size=size, sha256=sha256))

    async def put(self, path: Path, url: str, *, facts: FileFacts) -> None:
        client = self._client(url)

        async def stored() -> FileFacts:
            await client.put(path, url, facts=facts)
            return facts

        await self._counted(url, STORE, stored())

    def trusting_anew(self) -> Callable[[], None]:
        """What has connections from now on trust what is in the CA file now. Raises `TransferRefused`."""
        puts = [one.trusting_anew() for one in self._made.values() if isinstance(one, _Trusting)]

        def put() -> None:
            for one in puts:
                one()

        return put

    async def close(self) -> None:
        while self._made:
            _, client = self._made.popitem()
            await client.close()

    async def _counted(self, url: str, direction: str, transfer: Awaitable[FileFacts]) -> FileFacts:
        way, began = (_family(url), direction), self._clock()
        try:
            facts = await transfer
        except TransferError:
            self.counts.failures[way] += 1
            raise
        self.counts.ended(way, self._clock() - began, facts.size)
        return facts

    def _client(self, url: str) -> FileClient:
        scheme = _scheme(url)
        factory = self._factories.get(scheme)
        if factory is None:
            known = ", ".join(sorted(self._factories))
            raise TransferRefused(
                f"{public_url(url)}: no client for the scheme {scheme[:20]!r}; known here are: {known}"
            )
        if factory not in self._made:
            self._made[factory] = factory()
        return self._made[factory]


@runtime_checkable
class _Trusting(Protocol):
    """A client that believes certificates."""

    def trusting_anew(self) -> Callable[[], None]: ...


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower()


def _family(url: str) -> str:
    """The scheme of a URL for which there is a client, for counting."""
    return _scheme(url).removesuffix("s")
