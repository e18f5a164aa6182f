"""What people do by the dashboard of a real monitor, with a queue in Redis."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from copilot.job import JobSpec, State
from copilot.monitor.dashboard import passwords
from copilot.roles import Account, Standing
from tests.acceptance.running import LIMIT_S, Up, run, started, stop, until

PASSWORD = "correct horse battery"


def test_somebody_gets_a_password_logs_in_and_cancels_and_what_others_try_is_on_the_trail(
    up: Up, place: Path
) -> None:
    with up.running(monitor=True):
        check(up, place)


def check(up: Up, place: Path) -> None:
    etc = ("--config", up.etc)
    made = run("copilot", "users", "add", "olga", "--role", "operator", "-o", place / "olga.conf", *etc)
    assert made.returncode == 0, made.stderr
    given = run("copilot", "users", "password", "olga", *etc, typed=f"{PASSWORD}\n")
    assert (given.returncode, "can log in to the dashboard" in given.stdout) == (0, True), given.stderr
    asyncio.run(a_submitter_and_a_job(up, given.stdout.partition("@")[2].partition(":")[0]))
    followed = place / "followed"
    with started("copilot", "audit", "--follow", "--json", *etc, output=followed) as follows:
        olga, sam = Browser(up), Browser(up)
        assert olga.log_in("olga", "a wrong password") == 403
        assert olga.log_in("olga", PASSWORD) == sam.log_in("sam", PASSWORD) == 200
        assert olga.do("cancel", "more", token="") == (403, "")
        assert sam.do("cancel", "more")[1] == "is not known, or is not yours"
        assert olga.do("cancel", "more") == (200, "cancelled")
        until(lambda: "changed cancelled" in followed.read_text(), "the entry")
        assert stop(follows) in (0, 130)
    assert up.record("more").state is State.CANCELLED
    trail = [json.loads(line) for line in followed.read_text().splitlines()]
    assert PASSWORD not in json.dumps(trail)
    told = [
        (str(one["who"]).partition("@")[0], one["standing"], one["via"], one["place"], one["result"])
        for one in trail
        if one["target"] == "more"
    ]
    assert told == [
        ("sam", "submitter", "web", "127.0.0.1", "refused"),
        ("olga", "operator", "web", "127.0.0.1", "changed cancelled"),
    ]
    gone = run("copilot", "users", "password", "olga", "--remove", *etc)
    assert gone.returncode == 0, gone.stderr
    assert olga.do("cancel", "more")[0] == 401  # at once


async def a_submitter_and_a_job(up: Up, domain: str) -> None:
    async with up.store() as store:
        sam = Account(jid=f"sam@{domain}", standing=Standing.SUBMITTER, created=1.0)
        await store.put_account(sam)
        await store.set_password(sam.jid, passwords.line(PASSWORD, 1.0))
        await store.submit([JobSpec(id="more", command="true", requirements="other.Slots == 90")])


class Browser:
    """As one sends forms and the page's own requests, with its cookies."""

    def __init__(self, up: Up) -> None:
        self._base = f"http://127.0.0.1:{(up.directory / 'dashboard-port').read_text().strip()}"
        self._http = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    def log_in(self, name: str, password: str) -> int:
        return self._ask("/login", urlencode({"name": name, "password": password}).encode())[0]

    def do(self, verb: str, target: str, token: str | None = None) -> tuple[int, str]:
        """The status, and what came of it."""
        if token is None:
            token = str(json.loads(self._ask("/api/session")[1]).get("token", ""))
        body = json.dumps({"verb": verb, "targets": [target]}).encode()
        status, text = self._ask("/api/do", body, {"X-Copilot-Token": token})
        return status, json.loads(text)["done"][0]["text"] if status == 200 else ""

    def _ask(
        self, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        asked = urllib.request.Request(
            self._base + path, data=body, headers={"Origin": self._base, **(headers or {})}
        )
        try:
            with self._http.open(asked, timeout=LIMIT_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
