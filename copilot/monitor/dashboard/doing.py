"""What people do by the dashboard once they have logged in: `/login`, `/logout`, `/api/session`, `/api/do` (decision 22).

A wish is carried out if all of this holds: it comes from our own page by the browser's word (`Origin`, `Sec-Fetch-Site`), with the
cookie of a session (`SameSite=Strict`), with the token of that session in a header that no form can send, and the account still counts,
has the password with which the session began, and may do it. Why a login failed is told to nobody.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from http.cookies import CookieError, SimpleCookie
from ipaddress import IPv6Address, ip_address
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from copilot.errors import BadName, StoreUnavailable
from copilot.job import one_line
from copilot.log import rate_limited
from copilot.monitor.dashboard import passwords
from copilot.monitor.dashboard.asking import Refusal
from copilot.monitor.dashboard.guard import HEADERS
from copilot.monitor.dashboard.plain import as_json
from copilot.monitor.dashboard.sessions import (
    MOST_OF_ACCOUNT,
    Session,
    Sessions,
    Tries,
    is_right,
    is_token,
)
from copilot.records import dataclass

MOST_BYTES = 16384  # of a request's body
SLOW = 10.0  # s that it may take
AT_ONCE = 2  # passwords that are checked at the same time: each takes 32 MiB and a core
MOST_WAITING = 20
COOKIE = "copilot_session"
SECURE_COOKIE = "__Host-copilot_session"
SESSION_HEADER = "X-Copilot-Token"
GENERIC = "name or password are wrong, or this account has no password for the dashboard"
PATHS = ("/login", "/logout", "/api/session", "/api/do")

_log = logging.getLogger("copilot.dashboard")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with an account that counts. `created`: when it came into being, in seconds since the epoch."""

    jid: str
    standing: str
    created: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of a wish for one job or agent."""

    target: str
    ok: bool
    text: str


class Forbidden(Exception):
    """Whoever wants that may not; the text is for him."""


class Hands(Protocol):
    """What the dashboard may do. All raise `StoreUnavailable`."""

    async def person(self, jid: str) -> Person | None:
        """Who that is, if his account counts."""
        ...

    async def password(self, jid: str) -> str:
        """What his password is checked against; "" if he has none."""
        ...

    async def do(
        self, jid: str, verb: str, targets: Sequence[str], reason: str, place: str
    ) -> Sequence[Done]:
        """Carry out a wish in his name. Raises `Forbidden`, `BadName`."""
        ...


class Doing:
    """Belongs to one event loop. `secure`: browsers come by TLS."""

    def __init__(
        self, hands: Hands, *, secure: bool, domain: str = "", now: Callable[[], float] = time.monotonic
    ) -> None:
        self._hands = hands
        self._secure = secure
        self._domain = domain  # of accounts that are named without one
        self._now = now
        self._sessions = Sessions()
        self._tries = Tries()  # by address
        self._tries_of = Tries(MOST_OF_ACCOUNT)  # by account
        self._places = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """To a request for one of `PATHS`. Raises `Refusal`, `StoreUnavailable`."""
        if request.path == "/api/session" and request.method in ("GET", "HEAD"):
            return await self._who(request)
        if request.path == "/login" and request.method in ("GET", "HEAD"):
            return _page("")
        if request.method != "POST":
            raise Refusal(405, "expected POST")
        check_origin(request.headers)
        if request.path == "/login":
            return await self._log_in(request)
        session = await self._session(request)
        if session is None:
            raise Refusal(401, "nobody is logged in here, or the session is over: log in again")
        if not is_token(session, request.headers.get(SESSION_HEADER, "")):
            raise Refusal(403, "the token of the session is missing or wrong: reload the page")
        if request.path == "/logout":
            self._sessions.end(self._ident(request))
            return self._with_cookie(request, _json({"person": None}), "", ends=True)
        return await self._do(request, session)

    async def _who(self, request: web.BaseRequest) -> web.Response:
        session = await self._session(request, use=False)
        person = None if session is None else await self._hands.person(session.jid)
        if session is None or person is None:
            return _json({"person": None})
        return _json({"person": person.jid, "standing": person.standing, "token": session.token})

    async def _log_in(self, request: web.BaseRequest) -> web.Response:
        said = _form(await _body(request))
        name, password = said.get("name", "").strip().lower(), said.get("password", "")
        jid = name if "@" in name or not self._domain else f"{name}@{self._domain}"
        where, whose, now = address(request), jid[:300], self._now()
        if wait := max(self._tries.wait(where, now), self._tries_of.wait(whose, now)):
            response = _page("Too many tries. Wait some minutes.", 429)
            response.headers["Retry-After"] = str(int(wait) + 1)
            return response
        if self._waiting >= MOST_WAITING:
            raise Refusal(503, "too many log in at once; try again in a moment")
        self._tries.failed(where, now)  # before the check: tries at the same time count, too
        self._tries_of.failed(whose, now)
        try:
            person = await self._hands.person(jid) if _is_name(jid) else None
            kept = await self._hands.password(jid) if _is_name(jid) else ""  # as long for nobody's name
        except StoreUnavailable:
            self._was_no_failure(where, whose)
            raise
        self._waiting += 1
        try:
            async with self._places:
                created = 0.0 if person is None else person.created
                right = await asyncio.to_thread(passwords.fits, kept, password, created)
        finally:
            self._waiting -= 1
        if person is None or not right:
            rate_limited(
                _log,
                "login",
                logging.WARNING,
                "A login to the dashboard was refused: %a from %s",
                one_line(jid[:80]),
                address(request),
            )
            return _page(GENERIC.capitalize() + ".", 403)
        self._was_no_failure(where, whose)
        self._sessions.end(self._ident(request))  # whoever sat here before
        ident, _ = self._sessions.begin(person.jid, now, right=_right(person, kept))
        _log.info("%s has logged in to the dashboard from %s.", person.jid, address(request))
        response = web.Response(status=303, headers={**HEADERS, "Location": "/", "Cache-Control": "no-store"})
        return self._with_cookie(request, response, ident)

    def _was_no_failure(self, where: str, whose: str) -> None:
        self._tries.forget(where)
        self._tries_of.forget(whose)

    async def _do(self, request: web.BaseRequest, session: Session) -> web.Response:
        try:
            said = json.loads(await _body(request))
            verb, targets, reason = said["verb"], said["targets"], said.get("reason", "")
            right = isinstance(verb, str) and isinstance(reason, str) and isinstance(targets, list)
            right = right and all(isinstance(one, str) for one in targets)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            right = False
        if not right:
            raise Refusal(400, 'expected JSON: {"verb": …, "targets": […], "reason": …}')
        try:
            done = await self._hands.do(session.jid, verb, targets, reason, address(request))
        except Forbidden as error:
            if await self._hands.person(session.jid) is None:
                self._sessions.end_all(session.jid)
            raise Refusal(403, str(error)) from error
        except (BadName, ValueError) as error:
            raise Refusal(400, str(error)) from error
        return _json({"done": [{"target": one.target, "ok": one.ok, "text": one.text} for one in done]})

    async def _session(self, request: web.BaseRequest, *, use: bool = True) -> Session | None:
        ident = self._ident(request)
        session = self._sessions.find(ident, self._now(), use=use) if ident else None
        if session is None:
            return None
        person = await self._hands.person(
            session.jid
        )  # None: whoever carries out his wish says that he may not
        if person is not None and not is_right(
            session, _right(person, await self._hands.password(session.jid))
        ):
            self._sessions.end(ident)
            return None
        return session

    def _ident(self, request: web.BaseRequest) -> str:
        try:
            cookie = SimpleCookie(request.headers.get("Cookie", "")[:4096])
        except CookieError:
            return ""
        found = cookie.get(self._cookie)
        return "" if found is None else found.value

    @property
    def _cookie(self) -> str:
        return SECURE_COOKIE if self._secure else COOKIE

    def _with_cookie(
        self, request: web.BaseRequest, response: web.Response, ident: str, *, ends: bool = False
    ) -> web.Response:
        """A reverse proxy may speak TLS where we do not: the browser says so."""
        tls = self._secure or request.headers.get("Origin", "").startswith("https:")
        more = ("; Secure" if tls else "") + ("; Max-Age=0" if ends else "")
        cookie = f"{self._cookie}={ident}; Path=/; HttpOnly; SameSite=Strict{more}"
        response.headers["Set-Cookie"] = cookie
        return response


def check_origin(headers: Mapping[str, str]) -> None:
    """Whether a browser says that our own page asks. Raises `Refusal`."""
    own = "only the dashboard's own page may do that"
    if headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise Refusal(403, own)
    try:
        origin = urlsplit(headers.get("Origin", ""))
    except ValueError:
        raise Refusal(403, own) from None
    if origin.scheme not in ("http", "https") or origin.netloc.lower() != headers.get("Host", "").lower():
        raise Refusal(403, own)


def address(request: web.BaseRequest) -> str:
    """From where: an address; of IPv6 the network of 64 bits, for whoever has one has all of it."""
    try:
        found = ip_address(request.remote or "")
    except ValueError:
        return "?"
    if isinstance(found, IPv6Address) and not found.is_loopback:
        return str(found.ipv4_mapped or f"{IPv6Address(int(found) >> 64 << 64)}/64")
    return str(found)


def _right(person: Person, kept: str) -> str:
    """What lets him in: a password of this very account, not of one before that had its name."""
    return f"{person.created!r} {kept}"


def _is_name(jid: str) -> bool:
    return 0 < len(jid) <= 300 and jid.isprintable()


async def _body(request: web.BaseRequest) -> bytes:
    data = bytearray()
    try:
        async with asyncio.timeout(SLOW):
            async for part in request.content.iter_any():
                data += part
                if len(data) > MOST_BYTES:
                    raise Refusal(413, f"expected at most {MOST_BYTES} bytes")
    except TimeoutError:
        raise Refusal(408, "the rest of the request did not come") from None
    return bytes(data)


def _form(body: bytes) -> Mapping[str, str]:
    try:
        return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=4))
    except ValueError:
        raise Refusal(400, "expected a form with name and password") from None


def _json(data: object) -> web.Response:
    headers = {**HEADERS, "Cache-Control": "no-store", "Content-Type": "application/json"}
    return web.Response(body=as_json(data), headers=headers)


def _page(error: str, status: int = 200) -> web.Response:
    """The form, which needs no script. The browser must say from where it was sent (`Referrer-Policy`)."""
    policy = HEADERS["Content-Security-Policy"].replace("form-action 'none'", "form-action 'self'")
    headers = {
        **HEADERS,
        "Content-Security-Policy": policy,
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
        "Content-Type": "text/html; charset=utf-8",
    }
    told = f'<p class="fault" role="alert">{error}</p>' if error else ""  # words of our own
    return web.Response(text=_LOGIN.replace("<!-- told -->", told), status=status, headers=headers)


_LOGIN = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Log in · Co-Pilot</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/style.css">
<script src="/static/theme.js"></script>
</head>
<body>
<main class="login">
<h1>Log in</h1>
<!-- told -->
<form method="post" action="/login">
<p><label for="name">Account</label><input id="name" name="name" autocomplete="username" autocapitalize="none" spellcheck="false" required autofocus maxlength="300"></p>
<p><label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" required maxlength="200"></p>
<p><button type="submit">Log in</button></p>
</form>
<p class="quiet"><a href="/">Look without logging in</a></p>
</main>
</body>
</html>
"""
