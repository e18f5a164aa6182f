"""Answers a browser: the page and its files, `/api/…`, and `/live`, a stream that tells of changes.

What an error means for the browser is decided in one place (`Dashboard._handle`)."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterable
from contextlib import aclosing, suppress

from aiohttp import web

from copilot.errors import StoreUnavailable
from copilot.files.quiet import listen, quiet_server
from copilot.log import rate_limited
from copilot.monitor.board import Board
from copilot.monitor.dashboard import assets, live
from copilot.monitor.dashboard.answers import Answers
from copilot.monitor.dashboard.asking import Refusal
from copilot.monitor.dashboard.doing import PATHS, Doing
from copilot.monitor.dashboard.guard import HEADERS, Names, is_foreign
from copilot.monitor.dashboard.live import Live, TooManyViewers
from copilot.monitor.dashboard.plain import as_json

IDLE = 60.0  # s that a connection may be silent between two requests
MOST_CONNECTIONS = 1024  # a browser has up to six
BREAK_OFF = 0.5  # s that answers have left when the server stops
STALL = 30.0  # s after which a viewer who takes nothing loses his place
CATCH_UP = 0.1  # s between two looks at whether a slow viewer is ready for more
RETRY = 2000  # ms after which a browser asks again for a stream that broke off
NOBODY_YET = "/api/session"  # the page asks this in any case
AFTER = {"Retry-After": "5"}  # s

_log = logging.getLogger("copilot.dashboard")


class Dashboard:
    """Shows `board` to whoever can connect. `hosts`: further names under which it may be asked.

    `doing`: what people may do once they have logged in; without it the dashboard only shows. `most_viewers`, `period`, `keep_alive` and `stall` (s) are those of the live stream."""

    def __init__(
        self,
        board: Board,
        *,
        hosts: Iterable[str] = (),
        most_viewers: int = live.MOST_VIEWERS,
        period: float = live.PERIOD,
        keep_alive: float = live.KEEP_ALIVE,
        stall: float = STALL,
        doing: Doing | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._answers = Answers(board)
        self._hosts = tuple(hosts)
        self._names = Names("localhost", self._hosts)
        self._live = Live(board, most=most_viewers, period=period, keep_alive=keep_alive)
        self._stall = stall
        self._doing = doing
        self._tls = tls
        self._assets = assets.load()
        self._runner: web.ServerRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which is a free one if `port` is 0. Raises OSError if it is taken."""
        self._names = Names(host, self._hosts)
        server = quiet_server(self._handle, idle=IDLE, log=_log, most=MOST_CONNECTIONS, cancel=True)
        self._runner, bound = await listen(server, host, port, break_off=BREAK_OFF, ssl_context=self._tls)
        return bound

    async def stop(self) -> None:
        """Take no more connections, and close those that there are. Idempotent."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()
            await self._answers.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except Refusal as refusal:
            return _error(refusal.status, refusal.text)
        except TooManyViewers:
            return _error(503, "too many watch already; the page asks every few seconds instead")
        except StoreUnavailable as error:
            _log.debug("%s", error)
            return _error(503, "the queue's store does not answer; try again later")
        except Exception as error:  # noqa: BLE001  # a bug in one answer must not show its inside to strangers
            key, text = f"{type(error).__name__} {request.path[:80]}", "%s %a: %s"
            rate_limited(_log, key, logging.ERROR, text, request.method, request.path, error, exc_info=error)
            return _error(500, "the dashboard failed here; the monitor's log tells why")

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self._names.know(request.headers.get("Host")):
            raise Refusal(
                421, "this dashboard is not known under that name; add the name to MON_DASHBOARD_HOSTS"
            )
        if request.path in PATHS and (self._doing is not None or request.path == NOBODY_YET):
            return await self._person(request)
        if request.method not in ("GET", "HEAD"):
            raise Refusal(405, "the dashboard only shows: GET and HEAD are served here")
        path = request.path
        if asset := self._assets.get(path):
            return _asset(request, asset)
        if path == "/healthz":
            return web.Response(text="ok\n", headers={**HEADERS, "Cache-Control": "no-store"})
        if is_foreign(request.headers):
            raise Refusal(403, "only the dashboard's own page may ask this from within a browser")
        if path == "/live":
            return await self._stream(request)
        if path == "/api/now":
            return _data(await self._live.now())
        if path.startswith("/api/"):
            return _data(await self._answers.to(path, request.rel_url.raw_query_string))
        raise Refusal(404, "there is no such page; the dashboard is at /")

    async def _person(self, request: web.BaseRequest) -> web.StreamResponse:
        """What belongs to people who log in."""
        if request.path.startswith("/api/") and is_foreign(request.headers):
            raise Refusal(403, "only the dashboard's own page may ask this from within a browser")
        if self._doing is not None:
            return await self._doing.answer(request)
        if request.method not in ("GET", "HEAD"):
            raise Refusal(405, "the dashboard only shows: GET and HEAD are served here")
        return _data(as_json({"actions": False}))

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={
                **HEADERS,
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # a reverse proxy must not wait for more
            }
        )
        if request.method == "HEAD":
            await response.prepare(request)
            return response
        with suppress(ConnectionError):  # he has left
            async with aclosing(self._live.watch()) as snapshots:
                async for text in snapshots:
                    if not response.prepared:
                        await response.prepare(request)
                        await response.write(b"retry: %d\n\n" % RETRY)
                    await self._send(request, response, text)
        response.force_close()
        return response

    async def _send(self, request: web.BaseRequest, response: web.StreamResponse, text: bytes) -> None:
        """Send, and wait until the viewer has it. One who takes nothing is cut off."""
        try:
            async with asyncio.timeout(self._stall):
                await response.write(b"event: now\ndata: %b\n\n" % text if text else b": nothing new\n\n")
                # aiohttp's `drain` is content with 64 kB in the buffer, and nothing tells that it is empty.
                while request.transport is not None and request.transport.get_write_buffer_size():  # noqa: ASYNC110
                    await asyncio.sleep(CATCH_UP)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the viewer takes nothing") from None


def _asset(request: web.BaseRequest, asset: assets.Asset) -> web.Response:
    headers = {**HEADERS, "Cache-Control": "no-cache", "ETag": asset.tag, "Content-Type": asset.kind}
    if request.headers.get("If-None-Match") == asset.tag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=asset.body, headers=headers)


def _data(body: bytes, status: int = 200) -> web.Response:
    headers = {**HEADERS, "Cache-Control": "no-store", "Content-Type": "application/json"}
    return web.Response(body=body, status=status, headers=headers)


def _error(status: int, text: str) -> web.Response:
    response = _data(as_json({"error": text}), status)
    if status == 503:
        response.headers.update(AFTER)
    if status == 405:
        response.headers["Allow"] = "GET, HEAD"
    return response
