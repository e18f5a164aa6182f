"""A browser for each module, and the dashboard over a board in memory for each test."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page

from copilot.monitor.dashboard.doing import Doing
from copilot.monitor.dashboard.server import Dashboard
from tests.browser import chromium, world
from tests.browser.looking import Look, Theme

HOST = "127.0.0.1"
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with chromium.opened(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@dataclass
class Shown:
    """A dashboard that is served, and how to look at it. `complaints`: what the browser's console said."""

    board: world.MemoryBoard
    browser: Browser
    stack: AsyncExitStack
    most_viewers: int = 100
    doing: Doing | None = None
    port: int = 0
    server: Dashboard | None = None
    complaints: list[str] = field(default_factory=list)

    async def serve(self) -> None:
        """Start the server, again on the same port."""
        self.server = Dashboard(self.board, most_viewers=self.most_viewers, doing=self.doing)
        self.port = await self.server.start(HOST, self.port)

    async def close(self) -> None:
        if self.server is not None:
            await self.server.stop()

    async def look(self, path: str = "#/", *, width: int = 1440, theme: Theme = "light") -> Look:
        """Open the page at a view, in a fresh profile, and wait until it is live."""
        look = await Look.open(
            self.browser, f"http://{HOST}:{self.port}/{path}", width=width, theme=theme, listen=self._listen
        )
        self.stack.push_async_callback(look.close)
        await look.is_live()
        return look

    def _listen(self, page: Page) -> None:
        def said(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.complaints.append(message.text)

        page.on("console", said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))


Show = Callable[..., Awaitable[Shown]]


@pytest_asyncio.fixture(loop_scope="module")
async def show(browser: Browser) -> AsyncIterator[Show]:
    """Serves a board, the busy world by default. The browser must find nothing to complain of."""
    made: list[Shown] = []
    async with AsyncExitStack() as stack:

        async def make(
            board: world.MemoryBoard | None = None, *, most_viewers: int = 100, doing: Doing | None = None
        ) -> Shown:
            shown = Shown(
                board or world.board(time.time), browser, stack, most_viewers=most_viewers, doing=doing
            )
            await shown.serve()
            stack.push_async_callback(shown.close)
            made.append(shown)
            return shown

        yield make
    assert [text for shown in made for text in shown.complaints] == []


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where pictures of the page are kept; the end of the run says so."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if any(SCREENSHOTS.glob("*.png")):
        terminalreporter.write_line(f"Pictures of the dashboard: {SCREENSHOTS}")
