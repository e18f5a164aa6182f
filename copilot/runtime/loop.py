"""The one loop that turns for all components: transport → endpoint → component → actions, and back.

Everything happens in one task, but for what takes time: coroutines of a manager and effects of an agent run
beside it and come back as events. Their number is bounded; above the bound the loop stops reading, and the
server's flow control reaches the senders.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from copilot.clock import Clock, SystemClock
from copilot.errors import CopilotError, ProtocolError, StoreUnavailable
from copilot.log import PeerRef
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.envelope import Envelope
from copilot.protocol.events import Acked, BodyStripped, Dropped, Expired, Received, Refused
from copilot.runtime import lines
from copilot.runtime.component import (
    Action,
    Actions,
    Came,
    Component,
    Event,
    Finished,
    Gone,
    Hinted,
    Ignore,
    InRoom,
    Leave,
    NoEffects,
    Occupied,
    Offline,
    Online,
    OutOfRoom,
    Perform,
    Performer,
    Refuse,
    Send,
    Stopping,
    Tick,
    Withdraw,
    Withhold,
)
from copilot.runtime.doorman import Doorman, Doorstep
from copilot.runtime.loop_counts import LoopCounts
from copilot.runtime.shares import OVER_SHARE, Shares, Turn
from copilot.runtime.tally import Tally
from copilot.transport.base import (
    Arrived,
    Connected,
    Disconnected,
    OccupantChanged,
    PresenceChanged,
    RoomJoined,
    RoomLeft,
    Transport,
    TransportEvent,
)

log = logging.getLogger("copilot.loop")

MOST_AT_ONCE = 256  # events waiting for the component, and its coroutines at work, together
# A message comes again if it is not acknowledged; what the endpoint tells of our own messages does not.
TOLD_ONCE = (Acked, Refused, Expired)
TICKS_AT_ONCE = 16  # in one turn, for a component that has more to do; what comes in is not to wait for long
STORE_RETRY = 5.0  # s until such an event is handled again after the store was away
STALLED_SEND = 0.05  # s until a full send buffer is tried again
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
        doorman: Doorman | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`announce_to`: the bare JID whose instances should learn from the server when we vanish. `doorman` looks up whom we
        do not know before we hear him."""
        self._component = component
        self._endpoint = endpoint
        self._tally = Tally(endpoint.counts)
        self._transport = transport
        self._performer = performer or NoEffects()
        self._announce_to = announce_to
        self._doorstep = Doorstep(doorman)
        self._now = (clock or SystemClock()).monotonic
        self._inbox: deque[Event] = deque()
        self._stir = asyncio.Event()
        self._work: set[asyncio.Future[Any]] = set()
        self._shares = Shares()
        self._effects: set[asyncio.Future[Any]] = set()
        self._handled: list[Received] = []  # what they have led to goes out next
        self.counts = LoopCounts(at_work=self._at_work, effects=self._effects.__len__)
        self._room = asyncio.Event()  # the reader may go on
        self._exit: int | None = None
        self._broken: Exception | None = None

    async def run(self, ready: Callable[[], object] = lambda: None) -> int:
        """Turn until the component leaves; returns its exit code. `ready` is called whenever a session is up.

        Raises `LoginRefused` and `SessionReplaced`: somebody has to mend something first.
        """
        if self._announce_to is not None:
            self._transport.announce(self._announce_to)
        reader = asyncio.create_task(self._read(ready))
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

    def hint(self, what: str = "") -> None:
        """The queue may have something to do for the component; `what` as in `Store.hints`."""
        self._add(Hinted(what=what))

    def look(self) -> None:
        """Something that the component goes by has changed."""
        self._add(Tick())

    def _at_work(self) -> int:
        return len(self._inbox) + len(self._work)

    # -- one turn

    def _turn(self) -> None:
        """Work off what has come in, then let the time-driven part speak, then send."""
        while (self._inbox or self._shares.ready) and self._exit is None:
            if self._shares.ready:
                self._begin(self._shares.ready.popleft())
            else:
                self._dispatch(self._inbox.popleft())
        if len(self._work) < MOST_AT_ONCE:
            self._room.set()
        now = self._now()
        for _ in range(TICKS_AT_ONCE):
            wakeup = self._component.wakeup()
            if wakeup is None or wakeup > now or self._exit is not None:
                break
            self._dispatch(Tick())
        self._flush()
        due = self._tally.due(now)
        if due is not None and due <= now:
            self._tell_numbers()

    def _flush(self) -> None:
        now = self._now()
        for envelope in self._endpoint.outgoing(now):
            lines.sending(envelope)
            try:
                if not self._transport.send(envelope):
                    self._endpoint.unsent(envelope, now + STALLED_SEND)
            except (ProtocolError, ValueError) as error:  # too large, or nothing that XML can carry
                lines.unsendable(envelope, self._endpoint.give_up(envelope.id), error)
        if self._handled:
            self.counts.handled(self._handled, self._now())
            self._handled.clear()
        for event in self._endpoint.events():
            self._add(event)

    def _tell_numbers(self) -> None:
        if numbers := self._tally.tell():
            log.info("messages without effect since they were last counted: %s", numbers)

    def _dispatch(self, event: Event) -> None:
        lines.heard(event)
        if isinstance(event, Dropped | BodyStripped):  # that was all
            return
        turn = self._shares.turn(event) if isinstance(event, Received) else Turn.NOW
        if turn is Turn.NOW:
            self._begin(event)
        elif turn is Turn.NEVER and isinstance(event, Received):
            self._endpoint.failed(event)
            text = "more of its messages wait than there are places for; it will say this one again"
            lines.heard(self._endpoint.ignore(event, reason=OVER_SHARE, text=text))

    def _begin(self, event: Event) -> None:
        try:
            result = self._component.handle(event, self._now())
        except Exception as error:  # noqa: BLE001  # a bug in one message's handling must not end the service
            self._decided(event, error)
            return
        if isinstance(result, Awaitable):
            self._beside(self._work, result, partial(self._decided, event))
        else:
            self._decided(event, result)

    def _beside(
        self, running: set[asyncio.Future[Any]], work: Awaitable[Any], then: Callable[[Any], None]
    ) -> None:
        """Let `work` run; its result, or the exception that it raised, goes to `then` unless it was cancelled."""
        task = asyncio.ensure_future(work)
        running.add(task)

        def ended(task: asyncio.Future[Any]) -> None:
            running.discard(task)
            if not task.cancelled():
                then(task.exception() or task.result())
                self._stir.set()

        task.add_done_callback(ended)

    def _decided(self, event: Event, result: Actions | Exception) -> None:
        if isinstance(event, Received):
            self._shares.ended(event)
        if isinstance(result, Exception):
            self._failed(event, result)
            return
        try:
            self._carry_out(event, result)
        except Exception as error:  # noqa: BLE001  # as above
            self._failed(event, error)

    def _carry_out(self, event: Event, actions: Actions) -> None:
        """All actions, in order; then the acknowledgement of what caused them."""
        kept = all(self._act(action) for action in actions)  # stops at the first that was not done
        if isinstance(event, Received):
            if kept:
                self._endpoint.done(event, self._now())
            else:
                self._endpoint.failed(event)
            self._handled.append(event)

    def _act(self, action: Action) -> bool:
        """False: it was not done; what caused it must not be acknowledged, nor what follows it be done."""
        match action:
            case Send(to=to, command=command):
                sent = self._endpoint.send(
                    to,
                    command,
                    self._now(),
                    void_at=action.void_at,
                    info=action.info,
                    session=action.session,
                )
                lines.said(to, command, sent)
            case Withdraw(to=to, command=command):
                self._endpoint.withdraw(to, command)
            case Ignore(received=received, reason=reason, text=text):
                self._dispatch(self._endpoint.ignore(received, reason=reason, text=text))
            case Withhold():
                return False
            case Refuse(received=received, code=code, text=text, job=job, retry_after=later):
                lines.refused(action)
                return self._endpoint.refuse(
                    received, self._now(), code=code, text=text, job=job, retry_after=later
                )
            case Perform(effect=effect):
                try:
                    pending = self._performer.perform(effect)
                except (OSError, CopilotError) as error:
                    # Before anything else: a copy that waits must not find what this effect should have made safe.
                    self._inbox.appendleft(Finished(effect=effect, result=error))
                    self._stir.set()
                    return False
                if pending is not None:
                    self._beside(self._effects, pending, partial(self._finished, effect))
            case Leave(exit_code=code):
                self._exit = code
        return True

    def _finished(self, effect: Any, result: Any) -> None:
        """The component decides what a failed effect means."""
        self._add(Finished(effect=effect, result=result))

    def _failed(self, event: Event, error: Exception) -> None:
        if isinstance(event, Received):
            self._endpoint.failed(event)
        self.counts.failed(error)
        if isinstance(error, StoreUnavailable) and isinstance(event, TOLD_ONCE):
            asyncio.get_running_loop().call_later(STORE_RETRY, self._add, event)
        lines.failed(event, error)

    # -- waiting

    async def _rest(self) -> None:
        """Until something comes in or the next time that somebody named."""
        self._stir.clear()
        if self._inbox or self._shares.ready:
            return
        wanted = (self._component.wakeup(), self._endpoint.next_wakeup(), self._tally.due(self._now()))
        times = [when for when in wanted if when is not None]
        if not times:
            await self._stir.wait()
            return
        timer = asyncio.get_running_loop().call_later(max(0.0, min(times) - self._now()), self._stir.set)
        await self._stir.wait()
        timer.cancel()

    async def _read(self, ready: Callable[[], object]) -> None:
        try:
            while True:
                event = await self._transport.next_event()
                self._heard(event)
                if isinstance(event, Connected):
                    ready()
                if self._at_work() >= MOST_AT_ONCE:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:  # noqa: BLE001  # whatever it is: a service that hears nothing must not go on
            self._broken = error
            self._stir.set()

    def _heard(self, event: TransportEvent) -> None:
        match event:
            case Arrived(envelope=envelope):
                if self._doorstep.lets_in(envelope):
                    self._take_apart(envelope)
                elif (asked := self._doorstep.ask(envelope)) is not None:
                    self._beside(self._work, asked, partial(self._looked_up, envelope))
            case Connected(jid=jid):
                log.info("Ready as %s", PeerRef(jid))
                self._endpoint.online(jid)
                self._add(Online(jid=jid))
            case Disconnected(reason=reason, set_aside=set_aside):
                log.warning("the XMPP session is gone: %s", reason)
                self._endpoint.offline(set_aside)
                self._add(Offline(reason=reason))
            case PresenceChanged(jid=jid, available=available):
                self._add(Came(jid=jid) if available else Gone(jid=jid))
            case RoomJoined(room=room, nick=nick):
                self._endpoint.entered(room)
                self._add(InRoom(room=room, nick=nick))
            case RoomLeft(room=room, condition=condition):
                self._add(OutOfRoom(room=room, condition=condition))
            case OccupantChanged(room=room, nick=nick, jid=real, available=available):
                self._add(Occupied(room=room, nick=nick, jid=real, available=available))

    def _looked_up(self, first: Envelope, error: Exception | None) -> None:
        """Who sent it is known now, or cannot be found out: then he says it again."""
        for envelope in self._doorstep.come_in(first):
            if error is None:
                self._take_apart(envelope)
        if error is not None:
            self.counts.failed(error)
            lines.not_looked_up(first, error)

    def _take_apart(self, envelope: Envelope) -> None:
        try:
            events = self._endpoint.receive(envelope, self._now())
        except Exception as error:  # noqa: BLE001  # a bug in one message's reading must not end the service
            lines.unreadable(envelope, error)
            return
        for event in events:
            self._add(event)
        self._stir.set()  # a copy makes no event, but an acknowledgement

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
            self._endpoint.hurry()
            self._flush()
        self._tell_numbers()
        await self._transport.close()
