"""One program in a simulation: what `copilot.runtime.loop` does for its component, but when the world says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from copilot.errors import StoreUnavailable, TransferRefused, TransferUnavailable
from copilot.protocol.endpoint import Counts, Endpoint
from copilot.protocol.events import Received
from copilot.runtime.component import (
    Action,
    Actions,
    Component,
    Event,
    Finished,
    Ignore,
    Offline,
    Online,
    Perform,
    Refuse,
    Send,
    Stopping,
    Tick,
    Withdraw,
    Withhold,
)
from copilot.runtime.loop import STORE_RETRY, TOLD_ONCE
from copilot.transport.base import Arrived, TransportEvent

if TYPE_CHECKING:
    from tests.integration.simulation.world import World

LONGEST_STEP = 0.5  # s that a manager's coroutine waits for its store
LONGEST_ABSENCE = 60.0  # s until a session that broke, or a program that died, is there again


class Node:
    """One program on its machine; the next one there has the same lines."""

    def __init__(
        self, world: World, machine: str, jid: str, component: Component, endpoint: Endpoint
    ) -> None:
        self.machine = machine
        self.jid = jid
        self.online = False
        self.announced: dict[str, None] = {}
        self._world = world
        self._component = component
        self._endpoint = endpoint
        self._alive = True
        self._alarm = float("inf")
        self._work: set[Coroutine[Any, Any, Actions]] = set()
        self._failed: list[Finished] = []  # effects, on the spot

    @property
    def counts(self) -> Counts:
        """Its messages."""
        return self._endpoint.counts

    # -- its life

    def connect(self) -> None:
        """Begin, or come back."""
        if self._alive and not self.online and self._world.server_is_up:
            self.online = True
            self._world.network.enter(self)  # type: ignore[arg-type]
            self._world.look_round()
            self._endpoint.online(self.jid)
            self._handle(Online(jid=self.jid))

    def die(self) -> None:
        """At once, without a word; whatever it was at stops where it is."""
        self._alive = False
        if self.online:
            self._go()
        for work in self._work:
            work.close()

    def stop(self) -> None:
        """As by a signal."""
        self._handle(Stopping())

    def cut(self) -> None:
        """The session breaks."""
        if self.online:
            self._go()
            self._endpoint.offline()
            self._handle(Offline(reason="cut"))

    def _go(self) -> None:
        self.online = False
        self._world.network.leave(self)  # type: ignore[arg-type]
        self._world.look_round()

    # -- what comes in

    def take(self, event: TransportEvent) -> None:
        """The network delivers, if it can."""
        if isinstance(event, Arrived) and self._world.carries(event.envelope.sender, self.machine):
            self._world.time.later(0.0, lambda: self._hear(event))

    def _hear(self, event: Arrived) -> None:
        if self._alive:
            for heard in self._endpoint.receive(event.envelope, self._world.time.now):
                self._handle(heard)
            self._flush()

    def _handle(self, event: Event) -> None:
        result = self._component.handle(event, self._world.time.now)
        if isinstance(result, Coroutine):
            self._work.add(result)
            self._step(event, result)
        else:
            assert not isinstance(result, Awaitable)
            self._carry_out(event, result)
            self._flush()

    def _handle_again(self, event: Event) -> None:
        if self._alive:
            self._handle(event)

    def _step(self, event: Event, work: Coroutine[Any, Any, Actions]) -> None:
        if not self._alive:
            return
        try:
            work.send(None)
        except StopIteration as end:
            self._work.discard(work)
            self._carry_out(event, end.value)
        except StoreUnavailable:
            self._work.discard(work)
            if isinstance(event, Received):
                self._endpoint.failed(event)
            elif isinstance(event, TOLD_ONCE):
                self._world.time.later(STORE_RETRY, lambda: self._handle_again(event))
        else:
            self._world.soon(LONGEST_STEP, lambda: self._step(event, work))
            return  # nothing is said half-way
        self._flush()

    def _carry_out(self, event: Event, actions: Actions) -> None:
        kept = all(self._act(action) for action in actions)
        if isinstance(event, Received):
            (self._endpoint.done(event, self._world.time.now) if kept else self._endpoint.failed(event))
        while self._failed:
            self._handle(self._failed.pop())

    def _act(self, action: Action) -> bool:
        now = self._world.time.now
        match action:
            case Send(to=to, command=command, void_at=void_at, info=info):
                self._endpoint.send(to, command, now, void_at=void_at, info=info)
            case Withdraw(to=to, command=command):
                self._endpoint.withdraw(to, command)
            case Ignore(received=received, reason=reason, text=text):
                self._endpoint.ignore(received, reason=reason, text=text)
            case Withhold():
                return False
            case Refuse(received=received, code=code, text=text, job=job):
                return self._endpoint.refuse(received, now, code=code, text=text, job=job)
            case Perform(effect=effect):
                return self._perform(effect)
            case _:
                raise AssertionError(f"unexpected {action}")
        return True

    def _perform(self, effect: object) -> bool:
        raise AssertionError(f"unexpected {effect}")

    def _later(self, seconds: float, effect: object, result: Callable[[], object]) -> None:
        """An effect that takes up to so many seconds."""

        def end() -> None:
            if self._alive:
                try:
                    self._handle(Finished(effect=effect, result=result()))
                except (TransferUnavailable, TransferRefused) as error:
                    self._handle(Finished(effect=effect, result=error))

        self._world.soon(seconds, end)

    # -- what goes out

    def _flush(self) -> None:
        now = self._world.time.now
        for envelope in self._endpoint.outgoing(now):
            self._world.network.submit(replace(envelope, sender=self.jid))
        for event in self._endpoint.events():
            self._handle(event)
        times = (self._component.wakeup(), self._endpoint.next_wakeup())
        alarm = min((when for when in times if when is not None), default=float("inf"))
        if alarm < self._alarm:
            self._alarm = alarm
            self._world.time.later(max(0.0, alarm - now), lambda: self._ring(alarm))

    def _ring(self, alarm: float) -> None:
        if self._alarm == alarm:
            self._alarm = float("inf")
            if self._alive:
                wakeup = self._component.wakeup()
                if wakeup is not None and wakeup <= self._world.time.now:
                    self._handle(Tick())
                self._flush()
