"""Files by HTTP and HTTPS (RFC 9110): resumes broken downloads, checks what goes either way."""

from __future__ import annotations

import asyncio
import os
import random
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from copilot import lean
from copilot.errors import (
    NoSpace,
    TransferCorrupt,
    TransferError,
    TransferRefused,
    TransferUnavailable,
)
from copilot.files.base import BLOCK, FileFacts, public_url
from copilot.files.digest import FIELD, format_digest
from copilot.files.newfile import NewFile
from copilot.files.spool import Spool
from copilot.files.upload import Upload
from copilot.retry import full_jitter

# Not what it resolves names with (the system does), a fast list that it hardly uses, nor its own context: ours is given
# with each session. 5 MB.
with lean.without("aiodns", "frozenlist._frozenlist"), lean.without_authorities():
    import aiohttp
    from yarl import URL

STALL = 60.0  # seconds without a byte in either direction, after which the other side counts as away
TRIES = 4  # in a row without a new byte
MAX_PAUSE = 30.0  # seconds between two tries

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-", re.ASCII)
_NEXT_STEP = {
    401: "the server wants a signature; ask for a new URL",
    403: "the signature is wrong or has expired; ask for a new URL",
    404: "there is no such file; check that it was stored",
    413: "the file is larger than the URL allows; make it smaller or have the limit raised",
}


def pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row."""
    return full_jitter(failures, MAX_PAUSE, random.random)


class HttpClient:
    """A `FileClient` for `http:` and `https:` URLs. Belongs to one event loop; redirects are not followed.

    `ca_file` (PEM) is trusted *instead of* the system's authorities. `stall` in seconds. `backoff` gives the
    seconds to wait after n failures in a row; what breaks is tried `TRIES` times without progress.
    """

    def __init__(
        self,
        *,
        ca_file: Path | None = None,
        stall: float = STALL,
        backoff: Callable[[int], float] = pause,
    ) -> None:
        self._ca_file = ca_file
        self._stall = stall
        self._backoff = backoff
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None

    def trusting_anew(self) -> Callable[[], None]:
        """What has connections from now on trust what is in the CA file now. Raises `TransferRefused`."""
        context = self._ssl_context()

        def put() -> None:
            self._tls = context

        return put

    async def get(
        self, url: str, path: Path, *, size: int | None = None, sha256: str | None = None
    ) -> FileFacts:
        with NewFile.at(path) as new:
            download = _Download(new, size)
            await self._persist(lambda: self._fetch(url, download), lambda: new.size)
            new.check(public_url(url), size=size, sha256=sha256)
            new.commit(durable=False)
        return new.facts

    async def put(self, path: Path, url: str, *, facts: FileFacts) -> None:
        await self._persist(lambda: self._store(path, url, facts), lambda: 0)

    async def close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _persist(self, attempt: Callable[[], Awaitable[None]], progress: Callable[[], int]) -> None:
        """Try again what was unavailable, until `TRIES` in a row got no further than any before."""
        failures, furthest = 0, 0
        while True:
            try:
                return await attempt()
            except TransferUnavailable:
                if progress() > furthest:
                    failures, furthest = 0, progress()
                failures += 1
                if failures >= TRIES:
                    raise
                await asyncio.sleep(self._backoff(failures))

    async def _fetch(self, url: str, download: _Download) -> None:
        async with self._exchange("GET", url, headers=download.headers()) as (response, alive):
            await asyncio.to_thread(download.begin, response)
            async with Spool(download.write) as spool:
                async for part in response.content.iter_any():
                    alive()
                    await spool.add(part)

    async def _store(self, path: Path, url: str, facts: FileFacts) -> None:
        digest = format_digest(facts.sha256)
        headers = {"Content-Length": str(facts.size), FIELD: digest}
        with Upload(path, facts) as upload:
            try:
                async with self._exchange("PUT", url, headers=headers, upload=upload) as (response, _):
                    stored = response.headers.get(FIELD, digest)
            except TransferUnavailable:
                if upload.changed:  # so we broke off, not the server
                    raise upload.error() from None
                raise
        if stored != digest:
            raise TransferCorrupt(
                f"PUT {public_url(url)}: the server says that it stored something else ({stored}); put it again"
            )

    @asynccontextmanager
    async def _exchange(
        self, method: str, url: str, *, headers: Mapping[str, str], upload: Upload | None = None
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, Callable[[], None]]]:
        """One request and its good answer, with what to call whenever something moved."""
        what = f"{method} {public_url(url)}"
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._stall) as limit:

                def alive() -> None:
                    if not limit.expired():
                        limit.reschedule(loop.time() + self._stall)

                body = upload.blocks(alive) if upload is not None else None
                async with self._open_session().request(
                    method,
                    URL(url, encoded=True),
                    headers=headers,
                    data=body,
                    allow_redirects=False,
                    ssl=self._trusted(),
                ) as response:
                    _check_status(response, what)
                    yield response, alive
        except TimeoutError:
            raise TransferUnavailable(
                f"{what}: nothing moved for {self._stall:g} s; try again later"
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Not chained: the texts of these errors hold the URL with its signature.
            raise self._meaning(error, what) from None

    def _meaning(self, error: Exception, what: str) -> TransferError:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            trusted = f"the authorities in {self._ca_file}" if self._ca_file else "the system's authorities"
            return TransferRefused(
                f"{what}: the server's certificate is not trusted ({error.certificate_error}); expected one "
                f"that {trusted} vouch for"
            )
        if isinstance(error, ValueError):
            return TransferRefused(f"{what}: not a usable URL; expected https://host[:port]/path")
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number else type(error).__name__
        return TransferUnavailable(f"{what}: the server is away or broke off ({reason}); try again later")

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None),  # stalls are limited, not the whole
                headers={"Accept-Encoding": "identity", "User-Agent": "copilot"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=BLOCK,
            )
        return self._session

    def _trusted(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = self._ssl_context()
        return self._tls

    def _ssl_context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except OSError as error:
            raise TransferRefused(
                f"{self._ca_file}: cannot be read as certificates in PEM form ({error}); name the file of the "
                "authority that signed the file server's certificate"
            ) from error


def _check_status(response: aiohttp.ClientResponse, what: str) -> None:
    """Return for an answer that did what was asked; raise what any other means."""
    status = response.status
    if status in (200, 201, 204) or (status == 206 and response.method == "GET"):
        return
    answer = f"{what}: the server answered {status}"
    if status == 507:
        raise NoSpace(f"{answer}: its disk is full; free space there and try again")
    if status in (408, 416, 429) or status >= 500:
        raise TransferUnavailable(f"{answer}; try again later")
    if status == 400 and FIELD in response.headers:
        raise TransferCorrupt(f"{answer}: something else arrived there than was sent; put it again")
    if 300 <= status < 400:
        raise TransferRefused(f"{answer}, a redirect; redirects are not followed, so use the final URL")
    raise TransferRefused(f"{answer}: {_NEXT_STEP.get(status, 'check the URL')}")


class _Download:
    """What is known of a file that may come in several pieces."""

    def __init__(self, new: NewFile, size: int | None) -> None:
        self._new = new
        self._size = size
        self._etag = ""

    def headers(self) -> dict[str, str]:
        return {"Range": f"bytes={self._new.size}-"} if self._new.size else {}

    def begin(self, response: aiohttp.ClientResponse) -> None:
        """Go on where the last piece ended if this is the same file, else start anew."""
        etag = response.headers.get("ETag", "")
        if response.status == 206 and etag == self._etag:
            found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
            if found is not None and int(found[1]) == self._new.size:
                return
        self._new.restart()
        if response.status == 206:
            raise TransferUnavailable(
                f"GET {public_url(str(response.url))}: the file changed between two parts; fetch it again"
            )
        self._etag = etag

    def write(self, parts: Sequence[bytes | bytearray]) -> None:
        self._new.write_parts(parts)
        if self._size is not None and self._new.size > self._size:
            raise TransferCorrupt(
                f"more than the announced {self._size} bytes arrived; have the file announced anew"
            )
