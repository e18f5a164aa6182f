"""What people do by the dashboard, over real connections and a queue in memory; and what others try."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from copilot.cli.dashboard import StoreHands
from copilot.errors import StoreUnavailable
from copilot.job import JobSpec, State
from copilot.monitor.dashboard import doing, passwords, sessions
from copilot.monitor.dashboard.doing import Doing
from copilot.monitor.dashboard.sessions import Sessions, Tries
from copilot.roles import Account, Standing
from copilot.store.memory import MemoryStore
from tests.unit.monitor.dashboard.serving import Asker, asker, board

PASSWORD = "correct horse battery"
OPERATOR, SUBMITTER, AGENT = "olga@x.org", "sam@x.org", "a@x.org"


@dataclass
class Site:
    """The dashboard, and somebody with an HTTP client without a browser's manners."""

    store: MemoryStore
    asker: Asker
    clock: list[float]
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def own(self) -> dict[str, str]:
        return {"Origin": self.asker.base, "Sec-Fetch-Site": "same-origin"}

    async def post(
        self, path: str, headers: dict[str, str] | None = None, **more: Any
    ) -> tuple[int, Any, Any]:
        given = self.own | self.headers if headers is None else headers
        async with self.asker.session.post(
            self.asker.base + path, headers=given, allow_redirects=False, **more
        ) as answer:
            text = await answer.text()
            return answer.status, text, answer.headers

    async def log_in(self, name: str = OPERATOR, password: str = PASSWORD) -> int:
        status, _, headers = await self.post("/login", self.own, data={"name": name, "password": password})
        self.headers = {}
        if status == 303:
            cookie = headers["Set-Cookie"].partition(";")[0]
            self.headers = {"Cookie": cookie}
            async with self.asker.get("/api/session", headers=self.headers) as answer:
                said = await answer.json()
            assert said["person"] == name
            self.headers["X-Copilot-Token"] = said["token"]
        return status

    async def do(self, verb: str, *targets: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        wish = {"verb": verb, "targets": list(targets), "reason": "by hand"}
        status, text, _ = await self.post("/api/do", headers, json=wish)
        return status, text

    async def audited(self) -> list[tuple[str, ...]]:
        return [
            (one.who, one.via, one.verb, one.target, one.result)
            for one in await self.store.audit()
            if one.via == "web"
        ]


@pytest.fixture(scope="module")
def line() -> str:
    return passwords.line(PASSWORD, 5.0)


@asynccontextmanager
async def site(line: str) -> AsyncIterator[Site]:
    store, clock = MemoryStore(), [1000.0]
    for jid, standing in (
        (OPERATOR, Standing.OPERATOR),
        (SUBMITTER, Standing.SUBMITTER),
        (AGENT, Standing.AGENT),
    ):
        await store.put_account(Account(jid=jid, standing=standing, created=5.0))
        await store.set_password(jid, line)
    await store.submit(
        [JobSpec(id="his", command="x", owner=SUBMITTER), JobSpec(id="other", command="x", owner="eve")]
    )
    doing = Doing(StoreHands(store), secure=False, domain="x.org", now=lambda: clock[0])
    async with asker(board(), doing=doing) as found:
        yield Site(store, found, clock)


async def state(site: Site, job: str) -> State | None:
    record = await site.store.get(job)
    return None if record is None else record.state


async def test_an_operator_logs_in_holds_and_cancels_and_it_is_on_the_trail(line: str) -> None:
    async with site(line) as here:
        async with here.asker.get("/login") as answer:
            assert "form-action 'self'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["Referrer-Policy"] == "same-origin"  # else the form says `Origin: null`
        assert await here.log_in() == 303
        assert (await here.do("hold", "other", "his"))[0] == 200
        status, text = await here.do("cancel", "other", "nobody")
        assert (status, '"ok":true' in text, "is not known" in text) == (200, True, True)
        assert (await here.do("quarantine", AGENT))[0] == 200
        assert (await here.do("release-agent", AGENT))[0] == 200
        assert (await here.do("drain", AGENT))[0] == 200
        assert [await state(here, job) for job in ("his", "other")] == [State.HELD, State.CANCELLED]
        assert await here.audited() == [
            (OPERATOR, "web", "hold", "other", "changed held"),
            (OPERATOR, "web", "hold", "his", "changed held"),
            (OPERATOR, "web", "cancel", "other", "changed cancelled"),
            (OPERATOR, "web", "cancel", "nobody", "unchanged"),
            (OPERATOR, "web", "quarantine", AGENT, "changed"),
            (OPERATOR, "web", "release-agent", AGENT, "changed"),
            (OPERATOR, "web", "drain", AGENT, "changed"),
        ]
        entry = (await here.store.audit())[-1]
        assert (entry.standing, entry.place) == ("operator", "127.0.0.1")


async def test_a_submitter_looks_after_his_own_jobs_alone(line: str) -> None:
    async with site(line) as here:
        assert await here.log_in(SUBMITTER) == 303
        status, text = await here.do("hold", "other")
        assert (status, "is not known, or is not yours" in text) == (200, True)
        assert (await here.do("drain", AGENT))[0] == 403
        assert (await here.do("hold", "his"))[0] == 200
        assert [await state(here, job) for job in ("his", "other")] == [State.HELD, State.WAITING]
        assert await here.audited() == [
            (SUBMITTER, "web", "hold", "other", "refused"),
            (SUBMITTER, "web", "drain", AGENT, "refused"),
            (SUBMITTER, "web", "hold", "his", "changed held"),
        ]


@pytest.mark.parametrize(
    "changed",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {
            "Origin": "http://[",
        },
        {"Origin": None},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"X-Copilot-Token": None},
        {"X-Copilot-Token": "wrong"},
        {"X-Copilot-Token": ""},
        {"Cookie": None},
        {"Cookie": "copilot_session=made-up"},
        {"Cookie": 'copilot_session=";;='},
    ],
)
async def test_what_does_not_come_from_our_own_page_is_refused(
    line: str, changed: dict[str, str | None]
) -> None:
    async with site(line) as here:
        await here.log_in()
        headers = {**here.own, **here.headers}
        for name, value in changed.items():
            headers.pop(name)
            if value is not None:
                headers[name] = value
        status, _ = await here.do("cancel", "his", headers=headers)
        assert status in (401, 403)
        assert await state(here, "his") is State.WAITING
        assert await here.audited() == []


async def test_a_token_of_another_session_does_not_do(line: str) -> None:
    async with site(line) as here:
        await here.log_in(SUBMITTER)
        token = here.headers["X-Copilot-Token"]
        await here.log_in()
        here.headers["X-Copilot-Token"] = token
        assert (await here.do("cancel", "his"))[0] == 403


async def test_the_login_of_a_page_of_somebody_else_is_refused(line: str) -> None:
    async with site(line) as here:
        form = {"name": OPERATOR, "password": PASSWORD}
        for headers in ({}, {"Origin": "https://evil.example"}, {**here.own, "Sec-Fetch-Site": "cross-site"}):
            status, _, answered = await here.post("/login", headers, data=form)
            assert (status, answered.get("Set-Cookie")) == (403, None)


async def test_an_id_that_was_planted_before_the_login_is_not_taken_over(line: str) -> None:
    async with site(line) as here:
        planted = {"Cookie": "copilot_session=planted"}
        form = {"name": OPERATOR, "password": PASSWORD}
        status, _, answered = await here.post("/login", {**here.own, **planted}, data=form)
        cookie = answered["Set-Cookie"]
        assert status == 303
        assert "planted" not in cookie
        assert re.fullmatch(r"copilot_session=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict", cookie)
        async with here.asker.get("/api/session", headers=planted) as answer:
            assert await answer.json() == {"person": None}


@pytest.mark.parametrize(
    ("name", "password"),
    [
        (OPERATOR, "wrong"),
        ("nobody@x.org", PASSWORD),
        (AGENT, PASSWORD),
        ("", ""),
        ("x" * 5000, "y"),
        ("a\x00b", "y"),
    ],
)
async def test_why_a_login_failed_is_told_to_nobody(line: str, name: str, password: str) -> None:
    async with site(line) as here:
        status, text, headers = await here.post("/login", here.own, data={"name": name, "password": password})
        assert (status, headers.get("Set-Cookie")) == (403, None)
        assert "Name or password are wrong, or this account has no password" in text


async def test_guessing_is_stopped_by_address_and_account_and_goes_on_later(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    monkeypatch.setattr(passwords, "fits", lambda *given: tried.append(given) or given[1] == PASSWORD)
    async with site(line) as here:
        for _ in range(sessions.MOST_FAILED + 3):
            last = await here.log_in(password="guess")
        assert (last, len(tried)) == (429, sessions.MOST_FAILED)
        assert await here.log_in() == 429  # not even with the right one
        monkeypatch.setattr(doing, "address", lambda request: "10.0.0.7")
        assert await here.log_in() == 303  # from elsewhere, who knows it is not kept out
        for number in range(sessions.MOST_OF_ACCOUNT):
            monkeypatch.setattr(doing, "address", lambda request, number=number: f"10.0.1.{number}")
            last = await here.log_in(password="guess")
        assert (last, await here.log_in()) == (429, 429)
        here.clock[0] += sessions.WINDOW + 1
        assert await here.log_in() == 303


async def test_a_queue_that_is_away_is_no_wrong_password(line: str) -> None:
    async with site(line) as here:
        with pytest.MonkeyPatch.context() as away:
            away.setattr(here.store, "account", unavailable)
            assert {await here.log_in() for _ in range(sessions.MOST_FAILED + 1)} == {503}
        assert await here.log_in() == 303


async def unavailable(jid: str) -> None:
    raise StoreUnavailable("away")


async def test_who_is_revoked_has_no_more_wishes_and_the_next_of_that_name_not_his_password(
    line: str,
) -> None:
    async with site(line) as here:
        await here.log_in()
        await here.store.revoke(OPERATOR)
        assert (await here.do("cancel", "his"))[0] == 403
        assert (await here.do("cancel", "his"))[0] == 401
        await here.store.put_account(Account(jid=OPERATOR, standing=Standing.OPERATOR, created=6.0))
        assert await here.log_in() == 403


async def test_sessions_end_with_the_password_and_with_the_account_of_that_name(line: str) -> None:
    async with site(line) as here:
        for end in ("", passwords.line("another horse battery", 5.0)):
            await here.log_in()
            assert (await here.do("hold", "his"))[0] == 200
            await here.store.set_password(OPERATOR, end)
            assert (await here.do("release", "his"))[0] == 401
            await here.store.set_password(OPERATOR, line)
            assert (await here.do("release", "his"))[0] == 401  # it does not come back
        await here.log_in()
        await here.store.put_account(Account(jid=OPERATOR, standing=Standing.ADMIN, created=6.0))
        assert (await here.do("release", "his"))[0] == 401


async def test_sessions_end_by_themselves_and_by_hand(line: str) -> None:
    async with site(line) as here:
        await here.log_in()
        here.clock[0] += sessions.IDLE - 1
        assert (await here.do("hold", "his"))[0] == 200
        here.clock[0] += sessions.IDLE + 1
        assert (await here.do("release", "his"))[0] == 401
        await here.log_in()
        assert (await here.post("/logout"))[0] == 200
        assert (await here.do("release", "his"))[0] == 401


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"verb": 1, "targets": []}',
        b'{"verb": "hold", "targets": "his"}',
        b"[" * 9000,
        b"\xff",
        b'{"verb": "explode", "targets": ["his"]}',
        b'{"verb": "hold", "targets": []}',
        b'{"verb": "hold", "targets": ["a b"]}',
    ],
)
async def test_bad_wishes_are_refused_with_what_was_expected(line: str, body: bytes) -> None:
    async with site(line) as here:
        await here.log_in()
        status, text, _ = await here.post("/api/do", data=body)
        assert (status, "expected" in text) == (400, True), text
        assert (await here.post("/api/do", data=b"x" * 20_000))[0] == 413


async def test_without_a_login_the_dashboard_only_shows() -> None:
    async with asker(board()) as found:
        assert await found.json("/api/session") == {"actions": False}
        for path in ("/login", "/api/do", "/logout", "/api/session"):
            async with found.session.post(found.base + path) as answer:
                assert answer.status == 405
        async with found.get("/login") as answer:
            assert answer.status == 404


def test_passwords_fit_for_their_account_alone(line: str) -> None:
    assert passwords.fits(line, PASSWORD, 5.0)
    assert not passwords.fits(line, PASSWORD + "x", 5.0)
    assert not passwords.fits(line, PASSWORD, 6.0)
    assert PASSWORD not in line
    for kept in ("", "scrypt", "scrypt:1:1:1:AA==:AA==:5.0", "scrypt:99999999:8:1:AA==:AA==:5.0", "x" * 99):
        assert not passwords.fits(kept, PASSWORD, 5.0)
    for bad in ("short", "a" * 20, "x" * 300, "line\nbreaks are none"):
        with pytest.raises(passwords.BadPassword) as refused:
            passwords.line(bad, 5.0)
        assert bad not in str(refused.value)


def test_sessions_are_bounded_and_the_oldest_goes() -> None:
    known = Sessions()
    idents = [known.begin("a@x", float(number), right="")[0] for number in range(sessions.PER_PERSON + 2)]
    assert [known.find(one, 20.0) is not None for one in idents] == [False] * 2 + [True] * sessions.PER_PERSON
    ident, session = known.begin("b@x", 0.0, right="")
    for hour in range(1, 25):
        found = known.find(ident, hour * 1500.0)
    assert found is session
    assert known.find(ident, sessions.LONGEST + 1) is None
    assert idents[0] not in repr(vars(known))
    assert session.token not in repr(session)


def test_tries_are_forgotten_with_time_and_bounded() -> None:
    tries = Tries()
    for number in range(sessions.MOST_FAILED):
        assert tries.wait("a", number) == 0
        tries.failed("a", number)
    assert tries.wait("a", 20.0) == sessions.WINDOW - 20.0
    assert tries.wait("c", 20.0) == 0
    for number in range(sessions.MOST_KEYS + 10):
        tries.failed(f"x{number}", 30.0)
    assert tries.wait("a", 30.0) == 0  # the price of a bound
