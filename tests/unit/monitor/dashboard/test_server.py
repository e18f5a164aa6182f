"""The dashboard's answers over real connections."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest

from copilot.job import State
from copilot.monitor.dashboard.server import Dashboard
from tests.browser import world
from tests.patience import PATIENCE_S
from tests.unit.monitor.dashboard.serving import HOST, NOON, Asker, asker, board

FAILED = "run-2026-11-28-004213"


@pytest.fixture
def shown() -> world.MemoryBoard:
    return board()


@pytest.fixture
async def ask(shown: world.MemoryBoard) -> AsyncIterator[Asker]:
    async with asker(shown, hosts=("status.example.org",)) as one:
        yield one


async def test_the_front_page_is_the_boards_now(ask: Asker, shown: world.MemoryBoard) -> None:
    said = await ask.json("/api/now")
    assert said["time"] == NOON
    assert said["store_up"] is True
    assert said["jobs"] == {state.value: number for state, number in shown.front.jobs.items()}
    assert said["waits"]["p90"] == 1804.0
    assert said["groups"][1]["requirements"] == world.MEMORY
    assert [event["id"] for event in said["newest"]] == [event.id for event in shown.front.newest]


async def test_history_agents_and_jobs_come_as_the_board_has_them(
    ask: Asker, shown: world.MemoryBoard
) -> None:
    history = await ask.json("/api/history?span=600")
    assert history["step"] == 2.0
    assert {len(values) for values in history["series"].values()} == {len(history["times"])}
    assert history["series"]["waiting"][0] is None
    page = await ask.json("/api/agents?limit=20&search=cern")
    assert (page["total"], len(page["rows"])) == (24, 20)
    following = await ask.json(f"/api/agents?limit=20&search=cern&after={page['next']}")
    assert (len(following["rows"]), following["next"]) == (4, "")
    jobs = await ask.json("/api/jobs?state=waiting&after=999990")
    assert [row["job"] for row in jobs["rows"]] == [
        f"waiting-{number:07d}" for number in range(999990, 1000000)
    ]
    assert jobs["total"] == 1_000_000


async def test_a_job_is_shown_without_its_environment(ask: Asker) -> None:
    async with ask.get(f"/api/job/{FAILED}") as answer:
        text = await answer.text()
    said = json.loads(text)
    assert said["state"] == "failed"
    assert said["arguments"] == "--seed 4711 --events 20000"
    assert [one["cause"] for one in said["attempts"]] == ["infra-lost", "user-exit"]
    assert said["outcome"]["tail"] == world.TAIL
    assert len(said["events"]) == 8
    assert "TOKEN" not in text


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("/api/history?span=59", 400, "from 60 to 86400"),
        ("/api/history?span=1e9", 400, "from 60 to 86400"),
        ("/api/history?span=", 400, "from 60 to 86400"),
        ("/api/agents?limit=201", 400, "from 1 to 200"),
        ("/api/agents?limit=-1", 400, "from 1 to 200"),
        ("/api/agents?limit=\u0663", 400, "from 1 to 200"),
        ("/api/agents?search=" + 129 * "x", 400, "at most 128 characters"),
        ("/api/agents?search=%0a", 400, "without control characters"),
        ("/api/agents?after=" + 2049 * "x", 400, "at most 2048 characters"),
        ("/api/agents?limit=1&limit=2", 400, "each once"),
        ("/api/agents?order=name", 400, "expected after, search, limit"),
        ("/api/agents?" + "&".join(f"a{n}=1" for n in range(9)), 400, "at most 8"),
        ("/api/jobs", 400, "expected one of waiting"),
        ("/api/jobs?state=lost", 400, "expected one of waiting"),
        ("/api/jobs?state=done&after=nonsense", 400, "invalid literal"),
        ("/api/job/..%2f..%2fetc%2fpasswd", 400, "expected 1 to 128 letters"),
        ("/api/job/" + 129 * "x", 400, "expected 1 to 128 letters"),
        (f"/api/job/{FAILED}?x=1", 400, "expected no parameters"),
        ("/api/job/nobody", 404, "no job nobody"),
        ("/api/", 404, "nothing at /api/"),
        ("/api/agents/", 404, "nothing at /api/agents/"),
        ("/static/../server.py", 404, "no such page"),
        ("/static/", 404, "no such page"),
        ("/index.html", 404, "no such page"),
    ],
)
async def test_what_cannot_be_asked_for_is_refused_with_a_reason(
    ask: Asker, path: str, status: int, word: str
) -> None:
    said = await ask.json(path, status)
    assert list(said) == ["error"]
    assert word in said["error"]


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/api/now", "/api/nothing", "/healthz", "/live"])
async def test_every_answer_forbids_the_browser_what_the_page_does_not_need(ask: Asker, path: str) -> None:
    async with ask.get(path) as answer:
        headers = answer.headers
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert {policy[name] for name in ("frame-ancestors", "base-uri", "form-action", "object-src")} == {
        "'none'"
    }
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == ("no-cache" if path in ("/", "/static/main.js") else "no-store")
    assert headers["Server"] == "copilot"
    assert "Set-Cookie" not in headers
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_nothing_can_be_done_but_read(ask: Asker, method: str) -> None:
    async with ask.session.request(method, f"{ask.base}/api/now", data=b"x") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/", "/api/now", "/live", "/healthz"])
async def test_head_is_get_without_a_body(ask: Asker, path: str) -> None:
    async with ask.session.head(ask.base + path) as answer:
        assert answer.status == 200
        assert await answer.read() == b""


async def test_files_are_sent_once_as_long_as_they_are_the_same(ask: Asker) -> None:
    async with ask.get("/static/main.js") as answer:
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        tag = answer.headers["ETag"]
    async with ask.get("/static/main.js", headers={"If-None-Match": tag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    async with ask.get("/static/main.js", headers={"If-None-Match": '"other"'}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8095", 200),
        ("127.0.0.1", 200),
        ("192.0.2.7:80", 200),
        ("[2001:db8::1]:8095", 200),
        ("status.example.org", 200),
        ("evil.example.org", 421),
        ("127.0.0.1.evil.example.org", 421),
        ("localhost.evil.example.org:8095", 421),
        ("[evil]", 421),
        ("", 421),
    ],
)
async def test_a_name_that_is_not_ours_gets_nothing(ask: Asker, host: str, status: int) -> None:
    for path in ("/", "/api/now", "/live"):
        async with ask.get(path, headers={"Host": host}) as answer:
            assert answer.status == status
            if status == 421:
                assert "MON_DASHBOARD_HOSTS" in (await answer.json())["error"]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", "none"])
async def test_a_page_of_somebody_else_may_lead_here_but_not_ask(ask: Asker, site: str) -> None:
    own = site in ("same-origin", "none")
    for path in ("/", "/api/now", "/api/agents", "/live"):
        async with ask.get(path, headers={"Sec-Fetch-Site": site}) as answer:
            assert answer.status == (200 if own or path == "/" else 403)


async def test_while_the_store_is_away_the_front_page_stays_and_the_rest_says_so(
    ask: Asker, shown: world.MemoryBoard
) -> None:
    shown.up = False
    said = await ask.json("/api/now")
    assert (said["store_up"], said["jobs"]["waiting"]) == (False, 1_000_000)
    async with ask.get(f"/api/job/{FAILED}") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert "store does not answer" in (await answer.json())["error"]


async def test_a_bug_shows_nothing_of_its_inside(
    shown: world.MemoryBoard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: str) -> None:
        raise RuntimeError("the password is 4711")

    monkeypatch.setattr(shown, "job", broken)
    async with asker(shown) as ask:
        said = await ask.json(f"/api/job/{FAILED}", 500)
    assert "4711" not in said["error"]
    assert "the password is 4711" in caplog.text


async def test_strangers_leave_nothing_in_the_log(ask: Asker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    reader, writer = await asyncio.open_connection(HOST, int(ask.base.rpartition(":")[2]))
    writer.write(b"\x16\x03\x01 not HTTP\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.0 400")
    writer.close()
    await ask.json("/api/nothing", 404)
    assert [record for record in caplog.records if record.name == "copilot.dashboard"] == []


async def test_a_port_that_is_taken_is_an_error_and_stopping_twice_is_none(
    ask: Asker, shown: world.MemoryBoard
) -> None:
    other = Dashboard(shown)
    with pytest.raises(OSError, match="address already in use"):
        await other.start(HOST, int(ask.base.rpartition(":")[2]))
    await other.stop()


async def snapshot(answer: aiohttp.ClientResponse) -> dict[str, object]:
    """The next one of a stream."""
    async with asyncio.timeout(PATIENCE_S):
        async for line in answer.content:
            if line.startswith(b"data: "):
                found: dict[str, object] = json.loads(line.removeprefix(b"data: "))
                return found
    raise AssertionError("the stream has ended")


async def test_the_stream_tells_of_changes_and_of_nothing_else(shown: world.MemoryBoard) -> None:
    async with asker(shown, period=0.01, keep_alive=0.05) as ask, ask.get("/live") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert (await answer.content.readline()) == b"retry: 2000\n"
        assert await snapshot(answer) == await ask.json("/api/now")
        assert await answer.content.readline() == b"\n"
        assert await answer.content.readline() == b": nothing new\n"
        shown.front = replace(shown.front, jobs={State.WAITING: 7})
        assert (await snapshot(answer))["jobs"] == {"waiting": 7}


async def test_the_stream_has_places_for_so_many_and_says_so(shown: world.MemoryBoard) -> None:
    async with (
        asker(shown, most_viewers=2, period=0.01) as ask,
        ask.get("/live") as first,
        ask.get("/live") as second,
    ):
        await snapshot(first)
        await snapshot(second)
        said = await ask.json("/live", 503)
        assert "too many watch" in said["error"]
        first.close()
        async with asyncio.timeout(PATIENCE_S):
            while True:  # until the server has seen that one has left
                async with ask.get("/live") as third:
                    if third.status == 200:
                        await snapshot(third)
                        return


LARGE = 2**16  # bytes of text in a snapshot; a hundred of them are more than the buffers of sockets hold


async def idler(ask: Asker) -> asyncio.StreamWriter:
    """A viewer who reads no more than the first line."""
    reader, writer = await asyncio.open_connection(HOST, int(ask.base.rpartition(":")[2]), limit=1024)
    writer.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readline()
    return writer


def change(shown: world.MemoryBoard, turn: int) -> None:
    event = replace(shown.front.newest[0], text=LARGE * "x")
    shown.front = replace(shown.front, unpublished=turn, newest=(event,))


async def test_a_viewer_who_does_not_read_is_skipped_and_holds_up_nobody(shown: world.MemoryBoard) -> None:
    async with asker(shown, period=0.001) as ask, ask.get("/live", read_bufsize=2**22) as answer:
        writer = await idler(ask)
        for turn in range(200):
            change(shown, turn)
            while (await snapshot(answer))["unpublished"] != turn:
                pass
        writer.close()


async def test_a_viewer_who_does_not_read_for_long_loses_his_place(shown: world.MemoryBoard) -> None:
    async with asker(shown, period=0.001, most_viewers=1, stall=0.2) as ask:
        writer = await idler(ask)
        async with asyncio.timeout(PATIENCE_S):
            turn = 0
            while True:
                turn += 1
                change(shown, turn)
                async with ask.get("/live") as other:
                    if other.status == 200:
                        break
        writer.close()
