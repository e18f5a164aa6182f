"""A program of 2011 on Prosody, as far as its habits go; what it says is in the conversation."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import Counter
from collections.abc import Callable
from random import Random

from tests.conversations.secure import Secured
from tests.conversations.stanza import Stanza, Writing
from tests.conversations.stream import Stream
from tests.patience import PATIENCE_S

LIMIT_S = PATIENCE_S  # below the limit of a test


class Peer:
    """One session. It acknowledges on receipt, before it works, and never a copy."""

    def __init__(
        self, stream: Stream, jid: str, full_jid: str, random: Random, secured: Secured | None = None
    ) -> None:
        self.jid, self.full_jid = jid, full_jid
        self.secured = secured
        self.silent = False  # its acknowledgements are lost
        self.modern = False  # it has spoken the element carriage, and gets answers in it
        self.last: Stanza | None = None  # the last one taken
        self.said: tuple[str, str] | None = None  # id and text of its last message
        self._stream, self._random = stream, random
        self._heard: list[Stanza] = []
        self._acks: Counter[str] = Counter()
        self._copies: Counter[str] = Counter()
        self._seen: set[str] = set()
        self._ignored: set[str] = set()
        self._changed = asyncio.Event()
        self._wrong: list[str] = []
        self._reader = asyncio.create_task(self._read())

    def say(self, text: str, message_id: str) -> None:
        """Send a message as it is."""
        self.said = message_id, text
        self._stream.send(text)

    def repeat(self) -> None:
        """Send its last message again."""
        assert self.said is not None, "nothing was said"
        self._stream.send(self.said[1])

    def ignore(self, commands: set[str]) -> None:
        """From now on these are acknowledged and nothing else."""
        self._ignored |= commands
        self._heard = [stanza for stanza in self._heard if stanza.command not in self._ignored]

    def heed(self, commands: set[str]) -> None:
        """From now on these are heard again."""
        self._ignored -= commands

    async def hear(self) -> Stanza:
        """The next message."""
        await self._until(lambda: bool(self._heard), "no message")
        self.last = self._heard.pop(0)
        return self.last

    async def acked(self) -> None:
        """Its last message is acknowledged (once more)."""
        assert self.said is not None, "nothing was said"
        await self._until(lambda: self._acks[self.said[0]] > 0 if self.said else False, "no acknowledgement")
        self._acks[self.said[0]] -= 1

    async def copied(self) -> None:
        """A copy of the message that was taken last."""
        message_id = self.last.id or "" if self.last else ""
        await self._until(lambda: self._copies[message_id] > 0, "no copy")
        self._copies[message_id] -= 1

    def left(self) -> list[str]:
        """What has come and was not taken."""
        return [
            *self._wrong,
            *(f"{stanza.command} {dict(stanza.values)}" for stanza in self._heard),
            *(f"acknowledgement of {name}" for name in self._acks.elements()),
            *(f"copy of {name}" for name in self._copies.elements()),
        ]

    async def all_here(self) -> None:
        """Return when everything has come that the server had for us."""
        mark = str(uuid.uuid4())
        self._stream.send(f"<message to='{self.full_jid}' id='{mark}'/>")
        await self._until(lambda: mark in self._seen, "no word from the server")

    async def close(self) -> None:
        """Leave."""
        self._reader.cancel()
        await asyncio.wait([self._reader])
        self._stream.close()

    async def _read(self) -> None:
        async for element, text in self._stream.messages():
            if element.get("type") != "error":  # somebody has left before our acknowledgement came
                self._take(Stanza.read(element, text, self.secured))
            self._changed.set()

    def _take(self, stanza: Stanza) -> None:
        if stanza.sender == self.full_jid:
            self._seen.add(stanza.id or "")
            return
        if stanza.carriage == "element" and not self.modern:
            self._wrong.append(f"a message that 2011 cannot read: {stanza.text}")
        if self.secured is not None and stanza.command != "security_error" and not stanza.sealed:
            self._wrong.append(f"a message in clear, on which the programs of 2011 end: {stanza.text}")
        self._acks.update(stanza.acks)
        if not stanza.values:
            return
        if stanza.id not in self._seen:
            self._new(stanza)
        elif stanza.command not in self._ignored:
            self._copies[stanza.id or ""] += 1

    def _new(self, stanza: Stanza) -> None:
        self._seen.add(stanza.id or "")
        if not self.silent:
            # `from` is what the message had in `to`, as captured.
            addresses = {"ack": stanza.id or "", "from": stanza.to, "to": stanza.sender}
            self._stream.send(Writing(random=self._random).ack(addresses))
        if stanza.command not in self._ignored:
            self._heard.append(stanza)

    async def _until(self, condition: Callable[[], bool], otherwise: str) -> None:
        try:
            async with asyncio.timeout(LIMIT_S):
                while not condition():
                    await self._turn()
        except TimeoutError:
            raise AssertionError(f"{otherwise} within {LIMIT_S:g} s; left: {self.left()}") from None

    async def _turn(self) -> None:
        if self._reader.done():
            with contextlib.suppress(asyncio.CancelledError):
                self._reader.result()
            raise AssertionError("the server has closed the session")
        self._changed.clear()
        waiter = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait([waiter, self._reader], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiter.cancel()
