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
from copilot.transport.adhoc import Commands
from copilot.transport.base import Status
from copilot.transport.questions import Asked, Ordered, Questions, refusal

MOST_WAITING = 64  # for one status
ANSWER_WITHIN = 10.0  # s
MOST_ORDERS = 16  # commands of people that are carried out at the same time
CARRIED_OUT_WITHIN = 30.0  # s

log = logging.getLogger("copilot.transport")


class Desk:
    """The questions of one connection. `send` writes a stanza, or loses it if there is no room for it."""

    def __init__(
        self,
        questions: Questions,
        status: Status | None,
        send: Callable[[str], None],
        own: Callable[[], str],
        commands: Commands | None = None,
    ) -> None:
        self._commands = commands
        self._orders: set[asyncio.Task[None]] = set()
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
        elif isinstance(answer, Ordered):
            self._order(answer)
        elif answer is not None and len(self._waiting) >= MOST_WAITING:
            self._send(refusal(answer, "wait", "resource-constraint"))
        elif answer is not None and self._status is not None:
            self._waiting.append(answer)
            if self._at_work is None:
                self._at_work = asyncio.get_running_loop().create_task(self._tell(self._status))

    def close(self) -> None:
        """Nobody gets an answer any more."""
        for task in (self._at_work, *self._orders):
            if task is not None:
                task.cancel()

    def _order(self, order: Ordered) -> None:
        if self._commands is None or len(self._orders) >= MOST_ORDERS:
            self._send(refusal(order.asked, "wait", "resource-constraint"))
            return
        task = asyncio.get_running_loop().create_task(self._carry_out(self._commands, order))
        self._orders.add(task)
        task.add_done_callback(self._orders.discard)

    async def _carry_out(self, commands: Commands, order: Ordered) -> None:
        try:
            async with asyncio.timeout(CARRIED_OUT_WITHIN):
                answered = await commands.run(order.command.node, order.asked.sender, order.said)
        except Exception as error:  # noqa: BLE001  # a bug in a command must not end the session
            text = "the command %s that somebody gave cannot be carried out: %s"
            what, why = order.command.node, str(error) or type(error).__name__
            rate_limited(log, f"command {what}", logging.ERROR, text, what, why, exc_info=error)
            self._send(refusal(order.asked, "cancel", "internal-server-error"))
        else:
            self._send(self._questions.ordered(order, answered))

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
