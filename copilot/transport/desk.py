"""Answers what others ask our session, as fast as it comes in; our status, which may take a moment, one at a time.

All that ask for it meanwhile get the same one. Nothing is queued that the connection has no room for: who asked will ask
again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from xml.etree.ElementTree import Element as Xml

from copilot.log import rate_limited
from copilot.transport.base import Status
from copilot.transport.questions import Asked, Questions, refusal

MOST_WAITING = 64  # for one status
ANSWER_WITHIN = 10.0  # s

log = logging.getLogger("copilot.transport")


class Desk:
    """The questions of one connection. `send` writes a stanza, or loses it if there is no room for it."""

    def __init__(
        self, questions: Questions, status: Status | None, send: Callable[[str], None], own: Callable[[], str]
    ) -> None:
        self._questions = questions
        self._status = status
        self._send = send
        self._own = own
        self._waiting: list[Asked] = []
        self._at_work: asyncio.Task[None] | None = None

    def hear(self, iq: Xml) -> None:
        """An `<iq>` of type `get` or `set` has come in."""
        answer = self._questions.answer(iq, self._own())
        if isinstance(answer, str):
            self._send(answer)
        elif answer is not None and len(self._waiting) >= MOST_WAITING:
            self._send(refusal(answer, "wait", "resource-constraint"))
        elif answer is not None and self._status is not None:
            self._waiting.append(answer)
            if self._at_work is None:
                self._at_work = asyncio.get_running_loop().create_task(self._tell(self._status))

    def close(self) -> None:
        """Nobody gets an answer any more."""
        if self._at_work is not None:
            self._at_work.cancel()

    async def _tell(self, status: Status) -> None:
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                fields = await status()
        except Exception as error:  # noqa: BLE001  # a bug in what only informs must not end the session
            text = "the status that somebody asked for cannot be told: %s"
            rate_limited(
                log, "status", logging.ERROR, text, str(error) or type(error).__name__, exc_info=error
            )
            answers = [refusal(asked, "cancel", "internal-server-error") for asked in self._waiting]
        else:
            answers = [self._questions.status(asked, fields) for asked in self._waiting]
        self._waiting.clear()
        self._at_work = None
        for answer in answers:
            self._send(answer)
