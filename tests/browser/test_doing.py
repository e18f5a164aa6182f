"""What people do by the dashboard, in a real browser."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from playwright.async_api import expect

from copilot.cli.dashboard import StoreHands
from copilot.job import JobSpec, State
from copilot.monitor.dashboard import passwords
from copilot.monitor.dashboard.doing import Doing
from copilot.roles import Account, Standing
from copilot.store.memory import MemoryStore
from tests.browser import world
from tests.browser.conftest import Show

pytestmark = pytest.mark.asyncio(loop_scope="module")

WHO, PASSWORD = "olga@x.org", "correct horse battery"


async def test_somebody_logs_in_cancels_a_job_and_is_on_the_trail(show: Show, screenshots: Path) -> None:
    store = MemoryStore()
    await store.put_account(Account(jid=WHO, standing=Standing.OPERATOR, created=5.0))
    await store.set_password(WHO, passwords.line(PASSWORD, 5.0))
    board = world.board(time.time, agents=6)
    view, job = next(iter(board.views.values())), "waits-1"
    record = replace(view.record, spec=replace(view.record.spec, id=job), state=State.WAITING, finished=None)
    board.views[job] = replace(view, record=record)
    await store.submit([JobSpec(id=job, command="x")])
    shown = await show(board, doing=Doing(StoreHands(store), secure=False))
    look = await shown.look(f"#/job/{job}", width=320, theme="dark")
    page = look.page
    await expect(page.get_by_role("link", name="Log in")).to_be_visible()
    assert await page.locator(".doing:visible").count() == 0

    await page.get_by_role("link", name="Log in").click()
    await page.evaluate(AXE_FILE_PATH.read_text())
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [rule["id"] for rule in found["violations"]] == []
    await page.get_by_label("Account").fill(WHO)
    await page.get_by_label("Password").fill("a wrong one")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert")).to_contain_text("Name or password are wrong")
    await page.screenshot(path=screenshots / "login-320-dark.png")
    await page.get_by_label("Account").fill(WHO)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Log out")).to_be_visible()
    assert await page.evaluate("document.cookie") == ""  # no script sees it

    await look.go(f"#/job/{job}")
    cancel = page.get_by_role("button", name=f"Cancel job {job}")
    await cancel.click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.screenshot(path=screenshots / "sure-320-dark.png")
    await page.keyboard.press("Escape")
    assert await state(store, job) is State.WAITING
    await cancel.click()
    await page.get_by_role("dialog").get_by_role("button", name="Yes").click()
    await expect(page.locator(".done-told")).to_have_text("cancelled")
    await page.screenshot(path=screenshots / "doing-320-dark.png")
    assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert await state(store, job) is State.CANCELLED
    assert [(one.who, one.via, one.verb, one.target, one.result) for one in (await store.audit())[-1:]] == [
        (WHO, "web", "cancel", job, "changed cancelled")
    ]

    await look.go("#/agents")
    await expect(page.get_by_role("button", name="Drain agent").first).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    await page.evaluate(AXE_FILE_PATH.read_text())
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [rule["id"] for rule in found["violations"]] == []
    await page.screenshot(path=screenshots / "agents-doing-320-dark.png")
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("link", name="Log in")).to_be_visible()
    shown.complaints[:] = [text for text in shown.complaints if "403" not in text]  # the wrong password


async def state(store: MemoryStore, job: str) -> State | None:
    record = await store.get(job)
    return None if record is None else record.state
