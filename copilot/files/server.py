"""The embedded file server: gives inputs to agents and takes their outputs, by signed URLs only; from those who submit
from afar it takes inputs, and gives them the outputs of finished jobs.

Nothing here lists, deletes or renames, and the wire makes no directory but a signed output's. What an error
means for the peer is decided in one place (`FileServer._handle`): the peer gets a status, the log the cause.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import ssl
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from copilot.clock import Clock
from copilot.errors import BadName, NoSpace, TransferError, TransferUnavailable
from copilot.files.area import (
    FileArea,
    open_result,
    split_input_name,
    split_output_name,
    split_result_name,
)
from copilot.files.base import BLOCK
from copilot.files.counts import ServerCounts
from copilot.files.digest import FIELD, format_digest, parse_digest
from copilot.files.newfile import NewFile
from copilot.files.quiet import listen, quiet_server
from copilot.files.signing import Verifier
from copilot.files.spool import Spool
from copilot.job import split_alias
from copilot.log import JobRef, rate_limited
from copilot.records import dataclass

STALL = 60.0  # seconds that a peer may take for a request's head, or for the next block of a body
MIN_RATE = BLOCK / STALL  # bytes a second (4 kB/s), the slowest a peer may take a file
GRACE = 5.0  # seconds that transfers get to end when the server stops
MOST_CONNECTIONS = 4096
BREAK_OFF = 0.5  # seconds that those which did not end get to clean up

_log = logging.getLogger("copilot.files")


class FileServer:
    """Serves `area` to whom `verifier` lets in, and the outputs of finished jobs in `done`, if there is one. `prefix` is the
    path of the signer's base URL, if it has one that no proxy strips; `stall` and `grace` in seconds,
    at most `most` connections."""

    def __init__(
        self,
        area: FileArea,
        verifier: Verifier,
        *,
        clock: Clock,
        done: Path | None = None,
        prefix: str = "",
        stall: float = STALL,
        grace: float = GRACE,
        most: int = MOST_CONNECTIONS,
    ) -> None:
        self.counts = ServerCounts()
        self._area = area
        self._verifier = verifier
        self._clock = clock
        self._done = done
        self._base = prefix.rstrip("/") + "/"
        self._stall = stall
        self._grace = grace
        self._most = most
        self._runner: web.ServerRunner | None = None
        self._at_work: set[asyncio.Task[object]] = set()

    async def start(self, host: str, port: int, ssl_context: ssl.SSLContext | None = None) -> int:
        """Listen; returns the port, which is a free one if `port` is 0. Raises OSError if it is taken."""
        server = quiet_server(self._handle, idle=self._stall, log=_log, most=self._most)
        self._runner, bound = await listen(server, host, port, break_off=BREAK_OFF, ssl_context=ssl_context)
        return bound

    async def stop(self) -> None:
        """Take no more connections, let transfers end for `grace` seconds, then break them off. Idempotent."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        for site in list(runner.sites):
            await site.stop()
        if self._at_work:  # before `cleanup`, for that one drops what else arrives of an upload
            await asyncio.wait(self._at_work, timeout=self._grace)
        await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._note_work()
        began = self._clock.monotonic()
        try:
            response = await self._answer(request)
        except _Refusal as refusal:
            response = _text(refusal.status, refusal.text)
        except NoSpace as error:
            rate_limited(_log, "full", logging.ERROR, "%s", error)
            response = _text(507, "the disk is full")
        except TransferUnavailable as error:
            rate_limited(_log, "away", logging.ERROR, "%s", error)
            response = _text(503, "the disk does not answer; try again later")
        except (BadName, TransferError) as error:
            rate_limited(_log, ("missing", request.remote), logging.INFO, "%s", error)
            response = _text(404, "no such file")
        except TimeoutError:
            response = _text(408, f"nothing came for {self._stall:g} s")
        except (ConnectionError, web.RequestPayloadError):
            response = _text(400, "the body broke off")
        if response.status >= 400:
            response.force_close()
        if isinstance(response, _Download):
            response.ended = partial(self._ended, request, began)
        else:
            self._ended(request, began, response.status)
        took = self._clock.monotonic() - began
        text, status = "%s %s %a: %d, %.3f s (%s)", response.status
        about = self._job(request.path) if status < 400 else "not served"
        _log.debug(text, request.remote, request.method, request.path, status, took, about)
        return response

    def _ended(
        self, request: web.BaseRequest, began: float, status: int | None, sent: int | None = None
    ) -> None:
        self.counts.sent += sent or 0
        self.counts.ended(request.method, status, self._clock.monotonic() - began)

    def _job(self, path: str) -> JobRef | str:
        """Whose file was served: `<job>.a0/<input>` or `<attempt>/<attempt>.tgz`."""
        below = path.removeprefix(self._base)
        name, _, rest = below.partition("/")
        job, attempt = split_alias(split_result_name(below) or name)
        return JobRef(job, attempt or None) if rest else "no file"

    def _note_work(self) -> None:
        task = asyncio.current_task()
        if task is not None:  # aiohttp runs each request in a task, which also sends the answer
            self._at_work.add(task)
            task.add_done_callback(self._at_work.discard)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        method, path = request.method, request.path
        if method not in ("GET", "PUT"):
            raise _Refusal(405, "only GET and PUT are served here")
        if method == "GET" and path == "/healthz":
            return _text(200, "ok")
        below = path.removeprefix(self._base)
        allowed = self._verifier.check(method, below, request.rel_url.raw_query_string, self._clock.wall())
        if below == path or allowed is None:
            raise _Refusal(403, "this URL is not valid, or not any more")
        if allowed.max_size is None:
            return _Download(await asyncio.to_thread(self._open, below), self._stall)
        place = self._input(below) if allowed.sha256 is not None else self._output(below)
        return await self._store(request, place, allowed.max_size, allowed.sha256)

    def _open(self, path: str) -> io.FileIO:
        """The file to read: the output of a finished job, or an input."""
        result = split_result_name(path)
        if result is None:
            return self._area.open_input(*split_input_name(path))
        if self._done is None:
            raise BadName(f"{path}: there is no directory of finished jobs here")
        return open_result(self._done, result)

    def _input(self, path: str) -> _Place:
        job, name = split_input_name(path)
        return _Place(partial(self._area.prepare_input, job, name), partial(self._area.new_input, job, name))

    def _output(self, path: str) -> _Place:
        job, attempt = split_output_name(path)
        prepare = partial(self._area.prepare_output, job, attempt)
        return _Place(prepare, partial(self._area.new_output, job, attempt))

    async def _store(
        self, request: web.BaseRequest, place: _Place, max_size: int, signed: str | None
    ) -> web.Response:
        """Take a file of at most `max_size` bytes, with the SHA-256 that the URL says or else, if it does, the request."""
        too_large = _Refusal(413, f"larger than the {max_size} bytes that the URL allows")
        if (request.content_length or 0) > max_size:
            raise too_large
        expected = _expected_digest(request) or signed
        if signed not in (None, expected):
            raise _Refusal(400, f"this URL is for another file than {FIELD} announces")
        await asyncio.to_thread(place.prepare)
        await _ask_for_body(request)
        with place.begin() as new:
            received = 0
            async with Spool(new.write_parts) as spool:
                async for block in self._blocks(request):
                    received += len(block)
                    self.counts.received += len(block)
                    if received > max_size:
                        raise too_large
                    await spool.add(block)
            digest = {FIELD: format_digest(new.facts.sha256)}
            if expected not in (None, new.facts.sha256):
                return _text(400, f"what arrived is not what {FIELD} announced", digest)
            await asyncio.to_thread(new.commit)
        return _text(201, "stored", digest)

    async def _blocks(self, request: web.BaseRequest) -> AsyncIterator[bytes]:
        """The body as it comes; each `BLOCK` of it has to come within the time limit."""
        parts = [b""]
        while parts:
            parts, size = [], 0
            async with asyncio.timeout(self._stall):
                while size < BLOCK and (part := await request.content.readany()):
                    parts.append(part)
                    size += len(part)
            for part in parts:
                yield part


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an upload goes: what makes its directory, and what begins the file there."""

    prepare: Callable[[], None]
    begin: Callable[[], NewFile]


class _Refusal(Exception):
    """Ends a request with this status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class _Download(web.FileResponse):
    """Sends an open file, whole or in part, to a peer that is not too slow. `ended` is told the status (None: the peer has
    gone, or was too slow) and how many bytes of the file were sent."""

    ended: Callable[[int | None, int | None], None]

    def __init__(self, file: io.FileIO, stall: float) -> None:
        # By descriptor: the file that was checked is the one that is sent, whatever its path is by now.
        super().__init__(
            f"/proc/self/fd/{file.fileno()}", headers={"Content-Type": "application/octet-stream"}
        )
        self._file = file
        self._limit = stall + os.fstat(file.fileno()).st_size / MIN_RATE

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        status, sent = None, None
        try:
            with self._file:
                async with asyncio.timeout(self._limit):
                    writer = await super().prepare(request)
            status, sent = self.status, self.content_length if self.status in (200, 206) else None
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()  # `close` would wait for this peer to take what is buffered
            raise ConnectionResetError("the peer takes the file too slowly") from None
        finally:
            self.ended(status, sent)
        return writer


async def _ask_for_body(request: web.BaseRequest) -> None:
    """Some clients, curl among them, wait a second for this before they send a large body (RFC 9110, 10.1.1)."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _text(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers=headers)


def _expected_digest(request: web.BaseRequest) -> str | None:
    try:
        return parse_digest(request.headers.get(FIELD, ""))
    except ValueError as error:
        raise _Refusal(400, f"{FIELD}: {error}") from error
