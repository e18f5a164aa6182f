"""What a person reads on the dashboard, and what a board says that must be there.

`Look.shows(board)`, `shows_agents` and `shows_jobs` hold for any `Board`: that in memory here, and the real one of a running
system.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Literal, Self
from urllib.parse import quote

from playwright.async_api import Browser, Page, expect

from copilot.job import State
from copilot.monitor.board import Board, Now
from tests.patience import PATIENCE_S

LIMIT = PATIENCE_S  # s in which the page must show what it should
PAUSE = 0.05  # s between two looks
MIB = 2**20
READ = """() => Array.from(document.querySelectorAll('[data-number]'), (node) =>
  [node.dataset.number, node.getAttribute('value'), node.textContent, node.closest('[hidden]') !== null])"""

AGENTS = """() => Array.from(document.querySelectorAll('[data-agent]'), (row) =>
  [row.dataset.agent, Array.from(row.querySelectorAll('.runs a'), (link) => decodeURIComponent(link.hash.slice(6)))])"""
JOBS = "() => Array.from(document.querySelectorAll('[data-job]'), (row) => row.dataset.job)"
TURN = """hash => {
  if (location.hash === hash) return;
  document.querySelector('main > *').dataset.old = '';
  location.hash = hash;
}"""


@dataclass(frozen=True, slots=True)
class Number:
    """A number on the page: exactly, and as a person reads it."""

    value: float | None
    text: str


Theme = Literal["light", "dark"]
Numbers = Mapping[str, list[Number]]
Expected = Mapping[str, list[float | None]]


def expected(now: Now) -> Expected:
    """The numbers of the front page, by the names that they have there, in the order in which they stand there."""
    jobs = {state: now.jobs.get(state, 0) for state in State}
    rates, waits, fleet = now.rates, now.waits, now.fleet
    found: dict[str, list[float | None]] = {f"jobs.{state}": [number] for state, number in jobs.items()}
    found |= {f"chart.jobs.{state}": [jobs[state]] for state in (State.RUNNING, State.WAITING, State.HELD)}
    found |= {f"rates.{name}": [getattr(rates, name)] for name in ("submitted", "claimed", "done", "failed")}
    found |= {f"pace.{name}": [getattr(rates, name)] for name in ("claimed", "requeued")}
    found |= {f"chart.rates.{name}": [getattr(rates, name)] for name in ("submitted", "done", "failed")}
    found |= {f"chart.waits.wait_{name}": [getattr(waits, name)] for name in ("p50", "p90")}
    found |= {f"waits.{name}": [getattr(waits, name)] for name in ("p99", "longest", "oldest")}
    for name in ("online", "busy", "idle", "quarantined", "slots", "slots_busy"):
        found[f"fleet.{name}"] = [getattr(fleet, name)]
    found["failures.total"] = [sum(now.failures.values())]
    found |= {f"failures.{cause}": [number] for cause, number in now.failures.items() if number}
    found["unpublished"] = [now.unpublished]
    found["groups.total"] = [now.groups_total]
    found["owners.total"] = [now.owners_total]
    found["components.total"] = [now.components_total]
    found["groups.waiting"] = [row.waiting for row in now.groups]
    found["groups.oldest"] = [row.oldest for row in now.groups]
    found["owners.waiting"] = [row.waiting for row in now.owners]
    found["owners.running"] = [row.running for row in now.owners]
    found["components.load"] = [row.values.get("system.load.1min") for row in now.components]
    found["components.memory"] = [_memory(row.values) for row in now.components]
    found["storage.used"] = [volume.used for volume in now.storage]
    return {name: values for name, values in found.items() if values}


def _memory(values: Mapping[str, float]) -> float | None:
    """Bytes; a component tells MiB."""
    used, free = values.get("system.ram.used.mem"), values.get("system.ram.available.mem")
    return used if used is None or free is None else used * MIB


class Look:
    """The dashboard in a browser's page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @classmethod
    async def open(
        cls,
        browser: Browser,
        url: str,
        *,
        width: int = 1440,
        theme: Theme = "light",
        listen: Callable[[Page], None] = lambda _: None,
    ) -> Self:
        """Open `url` in a profile of its own. `listen` may ask to be told of what happens on the page."""
        context = await browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=theme,
            locale="en-GB",
            reduced_motion="reduce",
        )
        page = await context.new_page()
        page.set_default_timeout(LIMIT * 1000)
        listen(page)
        await page.goto(url)
        return cls(page)

    async def close(self) -> None:
        await self.page.context.close()

    async def go(self, path: str) -> None:
        """To another view, as by a link: the document stays the same."""
        await self.page.evaluate(TURN, path)
        await self.until(
            "document.querySelector('[data-old]') === null && document.querySelector('.card') !== null"
        )

    async def is_live(self) -> None:
        await self.says_of_the_connection("live")

    async def says_of_the_connection(self, word: str) -> None:
        await expect(self.page.locator("#link-text")).to_have_text(word, timeout=LIMIT * 1000)

    async def numbers(self) -> Numbers:
        """All numbers in the order in which they stand on the page, those out of sight too."""
        found: dict[str, list[Number]] = {}
        for name, value, text, _ in await self.page.evaluate(READ):
            found.setdefault(name, []).append(Number(float(value) if value else None, text))
        return found

    async def shows(self, board: Board, *, limit: float = LIMIT, but: Collection[str] = ()) -> None:
        """Wait until each number of the front page is what `board` says now; those named in `but` may differ.

        Fails with the differences after `limit` seconds."""
        end = monotonic() + limit
        while True:
            shown = await self.numbers()
            differences = [
                line
                for name, values in expected(await board.now()).items()
                if name not in but
                for line in _differences(name, values, shown.get(name, []))
            ]
            if not differences:
                return
            assert monotonic() < end, "The page does not show what the board says:\n" + "\n".join(differences)
            await asyncio.sleep(PAUSE)

    async def shows_agents(self, board: Board, *, search: str = "", limit: float = LIMIT) -> None:
        """Go to the agents, and wait until the first page is what `board` says."""
        await self.go(f"#/agents?search={quote(search, safe='')}" if search else "#/agents")
        end = monotonic() + limit
        while True:
            page = await board.agents(search=search)
            shown = await self.numbers()
            wanted = (
                page.total,
                [(row.agent, row.jobs, row.slots, [held.job for held in row.held]) for row in page.rows],
            )
            rows = zip(
                await self.page.evaluate(AGENTS),
                [number.value for number in shown.get("agent.jobs", [])],
                [number.value for number in shown.get("agent.slots", [])],
                strict=False,
            )
            read = (
                shown["agents.total"][0].value,
                [(agent, jobs, slots, held) for (agent, held), jobs, slots in rows],
            )
            if read == wanted:
                return
            assert monotonic() < end, f"expected {wanted}, the page has {read}"
            await asyncio.sleep(PAUSE)

    async def shows_jobs(self, board: Board, state: State, *, limit: float = LIMIT) -> None:
        """Go to the jobs in a state, and wait until the first page is what `board` says."""
        await self.go(f"#/jobs/{state}")
        end = monotonic() + limit
        while True:
            page = await board.jobs(state)
            wanted = (page.total, [row.job for row in page.rows])
            read = ((await self.numbers())["page.total"][0].value, await self.page.evaluate(JOBS))
            if read == wanted:
                return
            assert monotonic() < end, f"expected {wanted}, the page has {read}"
            await asyncio.sleep(PAUSE)

    async def until(self, script: str, *, limit: float = LIMIT) -> None:
        """Wait until `script`, an expression of the page's own language, is true. (The page's policy lets nobody
        evaluate text inside it, so it is asked from outside.)"""
        end = monotonic() + limit
        while not await self.page.evaluate(script):
            assert monotonic() < end, f"not true after {limit:g} s: {script}"
            await asyncio.sleep(PAUSE)

    async def text(self, selector: str = "main") -> str:
        return await self.page.locator(selector).first.inner_text()

    async def all_text(self, selector: str) -> list[str]:
        return await self.page.locator(selector).all_inner_texts()


def _differences(name: str, values: list[float | None], shown: list[Number]) -> list[str]:
    read = [number.value for number in shown]
    if read != values:
        return [f"{name}: expected {values}, the page has {read}"]
    if name.startswith(("jobs.", "chart.jobs.", "fleet.", "failures.", "groups.waiting", "owners.")):
        return [
            f"{name}: {number.value} reads {number.text!r}"
            for number in shown
            if int(re.sub(",", "", number.text)) != number.value
        ]
    return []
