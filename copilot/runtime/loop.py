"""The one loop that turns for all components: transport → endpoint → component → actions, and back.

Everything happens in one task, but for what takes time: coroutines of a manager and effects of an agent run
beside it and come back as events. Their number is bounded; above the bound the loop stops reading, and the
server's flow control reaches the senders.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Coroutine
from typing import Any

from copilot.clock import Clock, SystemClock
from copilot.errors import CopilotError, ProtocolError, StoreUnavailable, TransportError
from copilot.log import rate_limited
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.events import Acked, Dropped, Received
from copilot.runtime.component import (
    Action,
    Actions,
    Component,
    Event,
    Finished,
    Leave,
    NoEffects,
    Offline,
    Online,
    Perform,
    Performer,
    Refuse,
    Send,
    Stopping,
    Tick,
)
from copilot.transport.base import Arrived, Connected, Disconnected, Transport, TransportEvent

log = logging.getLogger("copilot.loop")

MOST_AT_ONCE = 256  # coroutines of the component
STALLED_SEND = 0.05  # s until a full send buffer is tried again
# Dropped, and nothing to worry about: the bare JID of a service reaches all its instances, whatever their part.
QUIET = {"wrong-role": logging.DEBUG, "void": logging.INFO, "not-for-us": logging.INFO}
LAST_WORK = 5.0  # s that messages in work have left when the component leaves


class Loop:
    """One component on one transport."""

    def __init__(
        self,
        component: Component,
        endpoint: Endpoint,
        transport: Transport,
        *,
        performer: Performer | None = None,
        announce_to: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`announce_to`: the bare JID whose instances should learn from the server when we vanish."""
        self._component = component
        self._endpoint = endpoint
        self._transport = transport
        self._performer = performer or NoEffects()
        self._announce_to = announce_to
        self._now = (clock or SystemClock()).monotonic
        self._inbox: deque[Event] = deque()
        self._stir = asyncio.Event()
        self._work: set[asyncio.Task[None]] = set()
        self._effects: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(MOST_AT_ONCE)
        self._exit: int | None = None
        self._broken: BaseException | None = None

    async def run(self) -> int:
        """Turn until the component leaves; returns its exit code.

        Raises `LoginRefused` and `SessionReplaced`: somebody has to mend something first.
        """
        if self._announce_to is not None:
            self._transport.announce(self._announce_to)
        reader = asyncio.create_task(self._read())
        try:
            while self._exit is None:
                self._turn()
                if self._exit is None:
                    await self._rest()
                if self._broken is not None:
                    raise self._broken
            return self._exit
        finally:
            await self._end(reader)

    def stop(self) -> None:
        """Ask the component to end (signal handlers call this)."""
        self._add(Stopping())

    # -- one turn

    def _turn(self) -> None:
        """Work off what has come in, then let the time-driven part speak, then send."""
        while self._inbox and self._exit is None:
            self._dispatch(self._inbox.popleft())
        now = self._now()
        wakeup = self._component.wakeup()
        if wakeup is not None and wakeup <= now:
            self._dispatch(Tick())
        self._flush()

    def _flush(self) -> None:
        now = self._now()
        for envelope in self._endpoint.outgoing(now):
            log.debug("Sending message to %s (%s)", envelope.to, envelope.id or "acknowledgement")
            try:
                if not self._transport.send(envelope):
                    self._endpoint.unsent(envelope, now + STALLED_SEND)
            except ProtocolError as error:
                log.error("message %s to %s cannot be sent: %s", envelope.id, envelope.to, error)
                self._endpoint.give_up(envelope.id)
        for event in self._endpoint.events():
            self._add(event)

    def _dispatch(self, event: Event) -> None:
        if isinstance(event, Acked):
            log.debug("Got ACK for %s", event.id)
        if isinstance(event, Dropped):
            key, text = f"{event.sender} {event.reason}", "dropped a message from %s: %s: %s"
            rate_limited(
                log,
                key,
                QUIET.get(event.reason, logging.WARNING),
                text,
                event.sender,
                event.reason,
                event.text,
            )
            return
        try:
            result = self._component.handle(event, self._now())
        except Exception as error:  # noqa: BLE001  # a bug in one message's handling must not end the service
            self._failed(event, error)
            return
        if isinstance(result, Awaitable):
            _spawn(self._work, self._decide(event, result))
        else:
            self._carry_out(event, result)

    async def _decide(self, event: Event, result: Awaitable[Actions]) -> None:
        async with self._room:
            try:
                actions = await result
            except Exception as error:  # noqa: BLE001  # as above
                self._failed(event, error)
            else:
                self._carry_out(event, actions)
            self._stir.set()

    def _carry_out(self, event: Event, actions: Actions) -> None:
        """All actions, in order; then the acknowledgement of what caused them."""
        kept = all(self._act(action) for action in actions)  # stops at the first that was not done
        if isinstance(event, Received):
            if kept:
                self._endpoint.done(event, self._now())
            else:
                self._endpoint.failed(event)

    def _act(self, action: Action) -> bool:
        """False: it was not done; what caused it must not be acknowledged, nor what follows it be done."""
        match action:
            case Send(to=to, command=command, void_at=void_at):
                self._endpoint.send(to, command, self._now(), void_at=void_at)
            case Refuse(received=received, code=code, text=text, job=job):
                log.warning("refused %s from %s: %s", received.command.NAME, received.sender, text)
                return self._endpoint.refuse(received, self._now(), code=code, text=text, job=job)
            case Perform(effect=effect):
                try:
                    pending = self._performer.perform(effect)
                except (OSError, CopilotError) as error:
                    self._add(Finished(effect=effect, result=error))
                    return False
                if pending is not None:
                    _spawn(self._effects, self._effect(effect, pending))
            case Leave(exit_code=code):
                self._exit = code
        return True

    async def _effect(self, effect: Any, pending: Awaitable[Any]) -> None:
        try:
            result: Any = await pending
        except Exception as error:  # noqa: BLE001  # the component decides what a failed effect means
            result = error
        self._add(Finished(effect=effect, result=result))

    def _failed(self, event: Event, error: Exception) -> None:
        if isinstance(event, Received):
            self._endpoint.failed(event)
        if isinstance(error, StoreUnavailable):
            rate_limited(log, "store", logging.ERROR, "%s", error)
        else:
            log.error("%s could not be handled: %s", type(event).__name__, error, exc_info=error)

    # -- waiting

    async def _rest(self) -> None:
        """Until something comes in or the next time that somebody named."""
        self._stir.clear()
        if self._inbox:
            return
        times = [
            when for when in (self._component.wakeup(), self._endpoint.next_wakeup()) if when is not None
        ]
        if not times:
            await self._stir.wait()
            return
        timer = asyncio.get_running_loop().call_later(max(0.0, min(times) - self._now()), self._stir.set)
        await self._stir.wait()
        timer.cancel()

    async def _read(self) -> None:
        try:
            while True:
                self._heard(await self._transport.next_event())
                if self._room.locked():
                    async with self._room:
                        pass
        except TransportError as error:
            self._broken = error
            self._stir.set()

    def _heard(self, event: TransportEvent) -> None:
        match event:
            case Arrived(envelope=envelope):
                for heard in self._endpoint.receive(envelope, self._now()):
                    self._inbox.append(heard)
                self._stir.set()
            case Connected(jid=jid):
                log.info("Ready as %s", jid)
                self._endpoint.online(jid)
                self._add(Online(jid=jid))
            case Disconnected(reason=reason, set_aside=set_aside):
                log.warning("the XMPP session is gone: %s", reason)
                self._endpoint.offline(set_aside)
                self._add(Offline(reason=reason))

    def _add(self, event: Event) -> None:
        self._inbox.append(event)
        self._stir.set()

    async def _end(self, reader: asyncio.Task[None]) -> None:
        """Leave nothing running: work on messages is brought to its end, effects are broken off, then goodbye."""
        reader.cancel()
        if self._work:
            await asyncio.wait(self._work, timeout=LAST_WORK)
        for task in (*self._work, *self._effects):
            task.cancel()
        await asyncio.gather(reader, *self._work, *self._effects, return_exceptions=True)
        if self._broken is None:
            self._flush()
        await self._transport.close()


def _spawn(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
