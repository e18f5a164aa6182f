"""The loop: what is acknowledged when, what runs beside, what stops it, and that nothing is left of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from copilot.errors import (
    LoginRefused,
    NoSpace,
    SessionReplaced,
    StoreUnavailable,
    TransferUnavailable,
    TransportError,
)
from copilot.protocol import codec
from copilot.protocol.commands import Command, Error, GetJob, HaveGetJob, Job, RunJob, WantGetJob
from copilot.protocol.envelope import Envelope
from copilot.protocol.events import Expired, Received
from copilot.protocol.rules import Role
from copilot.protocol.selftest import SELF_TEST_ID
from copilot.runtime import lines, tally
from copilot.runtime import loop as loop_module
from copilot.runtime.component import (
    Actions,
    Event,
    Finished,
    Hinted,
    Ignore,
    Leave,
    NoEffects,
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
from copilot.runtime.loop import TICKS_AT_ONCE, Loop
from copilot.runtime.shares import AT_WORK, OVER_SHARE, WAITING
from copilot.transport.base import Arrived, Connected, Disconnected, TransportEvent
from copilot.transport.memory import MemoryTransport
from tests.patience import PATIENCE_S
from tests.unit.protocol.wire import endpoint
from tests.unit.runtime.bench import OWN, PEER, Decision, Scripted, performing, rest, running, until

GET = GetJob(agent_host="h", jdl="[]")
WANT = WantGetJob(agent_host="h", jdl="[]")
ANSWER = Send(to=PEER, command=HaveGetJob())
NONSENSE: Command = object.__new__(Command)  # no command of the protocol
RUN = RunJob(job=Job(id="j1", command="run.sh", attempt=1), jm_job_data="claim")


def on_command(decide: Callable[[Received], Decision]) -> Scripted:
    """A component that decides about commands only."""
    return Scripted(lambda event: decide(event) if isinstance(event, Received) else None)


# -- acknowledgements


async def test_a_message_is_acknowledged_when_its_actions_are_done_and_not_before() -> None:
    may_end = asyncio.Event()

    async def work(_: Received) -> Actions:
        await may_end.wait()
        return [ANSWER]

    component = on_command(work)
    async with running(component) as bench:
        bench.say(GET, "m1")
        await component.got(Received)
        await rest()
        assert (bench.acks, bench.heard) == ([], [])
        may_end.set()
        await until(lambda: bench.acks == ["m1"])
        assert bench.heard == [HaveGetJob()]


async def test_the_time_until_the_answers_are_out_is_taken_by_command() -> None:
    may_end = asyncio.Event()

    async def work(_: Received) -> Actions:
        await may_end.wait()
        return [ANSWER]

    component = on_command(work)
    async with running(component) as bench:
        before = time.monotonic()
        bench.say(GET, "m1")
        await component.got(Received)
        came = time.monotonic()
        assert (bench.loop.counts.at_work(), dict(bench.loop.counts.handling)) == (1, {})
        until_then = came + 0.02
        await until(lambda: time.monotonic() >= until_then)
        may_end.set()
        await until(lambda: bench.heard == [HaveGetJob()])
        seconds = bench.loop.counts.handling["getJob"]
        assert seconds.count == 1
        assert 0.02 <= seconds.sum <= time.monotonic() - before
        assert bench.loop.counts.at_work() == 0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (StoreUnavailable("away"), "store"),
        (TransferUnavailable("away"), "files"),
        (RuntimeError("bug"), "mistake"),
    ],
)
async def test_what_could_not_be_handled_is_counted_by_why_and_not_timed(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "rate_limited", lambda *_: None)  # what it has told here counts elsewhere
    component = on_command(lambda _: _raise_later(error))
    async with running(component) as bench:
        bench.say(GET, "m1")
        await until(lambda: bench.loop.counts.failures == {reason: 1})
        await rest()
        assert bench.loop.counts.handling == {}


def _raise(error: Exception) -> Decision:
    raise error


async def _raise_later(error: Exception) -> Actions:
    raise error


@pytest.mark.parametrize(
    "decide",
    [
        lambda: _raise(RuntimeError("bug")),
        lambda: _raise_later(RuntimeError("bug")),
        lambda: _raise_later(StoreUnavailable("away")),
        lambda: [Send(to=PEER, command=NONSENSE)],
        lambda: [Perform(effect=lambda: _raise(RuntimeError("bug")))],
    ],
    ids=["raises", "raises-later", "store-away", "says-nonsense", "effect-has-a-bug"],
)
async def test_what_could_not_be_handled_is_not_acknowledged_and_its_copy_is_handled_afresh(
    decide: Callable[[], Decision], caplog: pytest.LogCaptureFixture
) -> None:
    decisions: Iterator[Callable[[], Decision]] = iter([decide, lambda: [ANSWER]])
    component = on_command(lambda _: next(decisions)())
    async with running(component) as bench:
        bench.say(GET, "m1")
        await until(lambda: any(record.levelname == "ERROR" for record in caplog.records))
        await rest()
        assert bench.acks == []
        bench.say(GET, "m1")
        await until(lambda: bench.acks == ["m1"])
    assert component.commands() == [GET, GET]


async def test_files_that_are_away_leave_the_message_without_an_acknowledgement_and_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    component = on_command(lambda _: _raise_later(TransferUnavailable("the Chirp server is away")))
    async with running(component) as bench:
        for ident in ("m1", "m2", "m3"):
            bench.say(GET, ident)
        await until(lambda: len(component.commands()) == 3)
        await rest()
        assert bench.acks == []
    told = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [(record.getMessage(), record.exc_info) for record in told] == [("the Chirp server is away", None)]


async def test_what_became_of_a_message_of_ours_is_told_again_when_the_store_was_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop_module, "STORE_RETRY", 0.01)
    answers: Iterator[Callable[[], Decision]] = iter(
        [lambda: _raise_later(StoreUnavailable("away")), lambda: _raise(StoreUnavailable("away")), list]
    )

    def decide(event: Event) -> Decision | None:
        if isinstance(event, Received):
            return [Send(to=PEER, command=RUN, void_at=0.0)]
        return next(answers)() if isinstance(event, Expired) else None

    component = Scripted(decide)
    async with running(component) as bench:
        bench.say(GET, "m1")
        await until(lambda: sum(isinstance(event, Expired) for event in component.events) == 3)
    assert next(answers, None) is None


async def test_a_copy_is_acknowledged_at_once() -> None:
    async with running(on_command(lambda _: [])) as bench:
        for number in (1, 2):
            bench.say(GET, "m1")
            await until(lambda number=number: bench.acks == ["m1"] * number)  # type: ignore[misc]


async def test_what_is_withheld_is_not_acknowledged_and_its_copy_is_handled_afresh() -> None:
    component = on_command(lambda _: [ANSWER, Withhold()])
    async with running(component) as bench:
        for number in (1, 2):
            bench.say(GET, "m1")
            await until(lambda number=number: bench.heard == [HaveGetJob()] * number)  # type: ignore[misc]
        assert bench.acks == []


async def test_what_is_ignored_is_acknowledged_counted_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    component = on_command(lambda event: [Ignore(received=event, reason="odd", text="what it says")])
    async with running(component) as bench:
        for ident in ("m1", "m2"):
            bench.say(GET, ident)
        await until(lambda: bench.acks == ["m1", "m2"])
        assert bench.endpoint.counts.dropped["odd"] == 2
    assert caplog.text.count(f"dropped a message from {PEER}: odd: what it says (message m1)") == 1


async def test_a_message_can_be_withdrawn_and_said_to_somebody_else_in_other_words() -> None:
    info = codec.encode(RUN, ("unheard-of",))
    said_first = Send(to="nobody@x/gone", command=RUN)
    instead = [Withdraw(to="nobody@x/gone", command=RUN), Send(to=PEER, command=RUN, info=info)]
    async with running(on_command(lambda _: [said_first, *instead])) as bench:
        bench.say(GET, "m1")
        await until(lambda: bench.heard == [RUN])
        assert bench.endpoint.counts.sent["runJob"] == 1
        assert bench.infos == [info]


async def test_a_refused_message_is_not_acknowledged_and_its_copy_is_refused_again() -> None:
    component = on_command(lambda event: [Refuse(received=event, code="no-slot", text="full")])
    async with running(component) as bench:
        bench.say(GET, "m1")
        await until(lambda: len(bench.heard) == 1)
        bench.say(GET, "m1")  # at once: a second error within a second is held back
        await until(lambda: len(component.commands()) == 2)
        await rest()
        assert bench.acks == []
        (error,) = bench.heard
        assert isinstance(error, Error)
        assert (error.code, error.in_reply_to) == ("no-slot", "m1")


async def test_a_refusal_is_an_acknowledgement_for_a_peer_of_2011() -> None:
    component = on_command(lambda event: [Refuse(received=event, code="no-slot", text="full")])
    async with running(component) as bench:
        bench.say(GET, "m1", features=())
        await until(lambda: bench.acks == ["m1"])
        assert bench.heard == []


async def test_a_message_that_cannot_even_be_read_does_not_end_the_service(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    component = on_command(lambda _: [ANSWER])
    async with running(component) as bench:
        with monkeypatch.context() as patch:
            patch.setattr("copilot.protocol.codec.decode", lambda _: _raise(RecursionError("bug")))
            bench.say(GET, "m1")
            await until(lambda: "could not be read: bug" in caplog.text)
        bench.say(GET, "m2")
        await until(lambda: bench.acks == ["m2"])


async def test_what_was_dropped_is_for_the_log_and_not_for_the_component(
    caplog: pytest.LogCaptureFixture,
) -> None:
    component = Scripted()
    async with running(component) as bench:
        bench.say_raw(Envelope(to=OWN, id=None, element=None, body=None, acks=("nonsense",)))
        bench.say(RUN, "m1")  # agents do that, managers do not
        await until(lambda: bench.endpoint.counts.dropped["wrong-role"] == 1)
        await rest()
        assert bench.acks == []
    assert [type(event) for event in component.events] == [Online, Stopping]


# -- effects


async def test_effects_run_beside_and_come_back_with_their_result_or_their_error() -> None:
    gate, error = asyncio.Event(), ValueError("no")

    async def result() -> str:
        await gate.wait()
        return "result"

    async def failure() -> None:
        await gate.wait()
        raise error

    component = on_command(lambda _: [*performing(result, failure), ANSWER])
    async with running(component) as bench:
        bench.say(GET, "m1")
        await until(lambda: bench.acks == ["m1"])  # it does not wait for them
        assert not any(isinstance(event, Finished) for event in component.events)
        gate.set()
        await until(lambda: len(finished(component)) == 2)
    assert [(event.effect, event.result) for event in finished(component)] == [
        (result, "result"),
        (failure, error),
    ]


def finished(component: Scripted) -> list[Finished]:
    return [event for event in component.events if isinstance(event, Finished)]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), NoSpace("the disk is full")])
async def test_an_effect_that_fails_on_the_spot_stops_what_follows_and_the_acknowledgement(
    error: Exception,
) -> None:
    done: list[str] = []
    remember = partial(_raise, error)
    component = on_command(lambda _: [*performing(remember, lambda: done.append("executed")), ANSWER])
    async with running(component) as bench:
        bench.say(GET, "m1")
        await component.got(Finished)
        await rest()
        assert (bench.acks, bench.heard, done) == ([], [], [])
        bench.say(GET, "m1")
        await until(lambda: len(component.commands()) == 2)
    assert {(event.effect, event.result) for event in finished(component)} == {(remember, error)}


async def test_a_failure_on_the_spot_is_told_before_anything_that_waits_already() -> None:
    def decide(event: Event) -> Actions | None:
        return performing(partial(_raise, OSError("full"))) if isinstance(event, Received) else None

    component = Scripted(decide)
    async with running(component) as bench:
        for ident in ("m1", "m2"):  # as two managers say the same: both are there when the first is handled
            bench.say(GET, ident)
        await until(lambda: len(finished(component)) == 2)
    kinds = [type(event) for event in component.events]
    assert kinds == [Online, Received, Finished, Received, Finished, Stopping]


# -- time


async def test_it_ticks_when_the_component_wants_it() -> None:
    ticks: list[float] = []
    wanted = time.monotonic() + 0.03

    def decide(event: Event) -> Actions | None:
        if isinstance(event, Tick):
            ticks.append(time.monotonic())
            component.wake = None
        return None

    component = Scripted(decide)
    component.wake = wanted
    async with running(component):
        await component.got(Tick)
        await rest()
    assert len(ticks) == 1
    assert ticks[0] >= wanted


async def test_with_much_to_do_it_ticks_again_at_once_but_what_comes_in_gets_its_turn() -> None:
    ticks = 0

    def decide(event: Event) -> Actions | None:
        nonlocal ticks
        if isinstance(event, Tick):
            ticks += 1
            if ticks == 1:
                bench.loop.hint()
            if ticks == TICKS_AT_ONCE + 1:
                component.wake = None
        return None

    component = Scripted(decide)
    async with running(component) as bench:
        component.wake = 0.0
        bench.loop.hint()
        await until(lambda: component.wake is None)
    kinds = [type(event) for event in component.events]
    assert kinds == [Online, Hinted, *[Tick] * TICKS_AT_ONCE, Hinted, Tick, Stopping]


# -- more than it can do at once


async def test_with_too_much_in_work_it_stops_reading_and_goes_on_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop_module, "MOST_AT_ONCE", 4)
    places = asyncio.Semaphore(0)
    at_work = most = 0

    async def work(_: Received) -> Actions:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await places.acquire()
        at_work -= 1
        return []

    component = on_command(work)
    async with running(component) as bench:
        for number in range(20):
            bench.say(GET, f"m{number}")
        await until(lambda: at_work == 4)
        await rest()
        assert len(component.commands()) == 4
        places.release()
        await until(lambda: len(component.commands()) == 5)
        await rest()
        assert len(component.commands()) == 5
        for _ in range(19):
            places.release()
        await until(lambda: len(bench.acks) == 20)
    assert most == 4


# -- what cannot be sent


class Stubborn(MemoryTransport):
    """Its buffer is full the first few times."""

    full = 3

    def send(self, envelope: Envelope) -> bool:
        if envelope.id is not None and self.full > 0:
            self.full -= 1
            return False
        return super().send(envelope)


async def test_what_a_full_buffer_did_not_take_is_sent_a_little_later() -> None:
    component = Scripted(lambda event: [Send(to=PEER, command=RUN)] if isinstance(event, Online) else None)
    async with running(component, lambda network: Stubborn(network, OWN)) as bench:
        await until(lambda: bench.heard == [RUN])


@pytest.mark.parametrize(
    ("to", "command"),
    [
        (PEER, RunJob(job=Job(id="j1", command="run.sh", arguments="x" * 5000, attempt=1))),
        ("agent\x00@x/a", RUN),
    ],
    ids=["too-large", "no-xml"],
)
async def test_what_cannot_be_written_is_given_up_and_the_component_told(to: str, command: Command) -> None:
    component = Scripted(
        lambda event: [Send(to=to, command=command), ANSWER] if isinstance(event, Online) else None
    )
    async with running(
        component, lambda network: MemoryTransport(network, OWN, max_stanza_bytes=3000)
    ) as bench:
        event = await component.got(Expired)
        await until(lambda: HaveGetJob() in bench.heard)
    assert isinstance(event, Expired)
    assert (event.to, event.command) == (to, command)


# -- the session


async def test_the_session_comes_and_goes_and_what_was_not_acknowledged_is_said_again() -> None:
    said: list[Event] = []

    def decide(event: Event) -> Actions | None:
        if isinstance(event, Online) and not said:
            said.append(event)
            return [Send(to=PEER, command=RUN)]
        return None

    component = Scripted(decide)
    async with running(component) as bench:
        await until(lambda: bench.heard == [RUN])
        bench.network.cut(OWN)
        await until(lambda: bench.heard == [RUN, RUN])
    assert [type(event) for event in component.events] == [Online, Offline, Online, Stopping]
    assert component.events[0] == Online(jid=OWN)


class Played:
    """A transport whose events a test writes; `sent` is without the session's self-test."""

    def __init__(self, *events: TransportEvent | Exception) -> None:
        self._events = list(events)
        self.sent: list[str | None] = []  # the ids of commands to others
        self.announced: list[str] = []
        self.closed = False

    async def next_event(self) -> TransportEvent:
        while not self._events:
            await asyncio.sleep(0.001)
        event = self._events.pop(0)
        if isinstance(event, Exception):
            raise event
        return event

    def put(self, event: TransportEvent) -> None:
        self._events.append(event)

    def send(self, envelope: Envelope) -> bool:
        if envelope.id != SELF_TEST_ID:
            self.sent.append(envelope.id)
        return True

    def announce(self, to: str) -> None:
        self.announced.append(to)

    async def close(self) -> None:
        self.closed = True


def loop_over(transport: Played, component: Scripted) -> Loop:
    return Loop(component, endpoint(Role.JOB_MANAGER, OWN), transport, announce_to="jm@x")


async def test_what_made_the_server_end_the_stream_is_never_sent_again() -> None:
    transport = Played(Connected(OWN))
    component = Scripted(lambda event: [Send(to=PEER, command=RUN)] if isinstance(event, Online) else None)
    run = asyncio.create_task(loop_over(transport, component).run())
    await until(lambda: len(transport.sent) == 1)
    (ident,) = transport.sent
    assert ident is not None
    transport.put(Disconnected("policy-violation", set_aside=(ident,)))
    assert isinstance(await component.got(Expired), Expired)
    transport.put(Connected(OWN))
    await until(lambda: [type(event) for event in component.events].count(Online) == 2)
    await rest()
    assert transport.sent.count(ident) == 1
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert transport.closed


@pytest.mark.parametrize(
    "error",
    [LoginRefused("wrong password"), TransportError("closed"), RuntimeError("a bug in the transport")],
)
async def test_what_somebody_has_to_mend_ends_the_run_with_that_error(error: Exception) -> None:
    transport = Played(Connected(OWN), error)
    with pytest.raises(type(error), match=str(error)):
        await asyncio.wait_for(loop_over(transport, Scripted()).run(), PATIENCE_S)
    assert (transport.closed, transport.announced) == (True, ["jm@x"])
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_twin_with_the_same_address_ends_the_run() -> None:
    component = Scripted()
    async with running(component) as bench:
        twin = MemoryTransport(bench.network, OWN)
        await twin.next_event()
        with pytest.raises(SessionReplaced):
            await bench.run
        await twin.close()


# -- the end


async def test_on_the_way_out_work_is_finished_and_acknowledged_and_effects_are_broken_off() -> None:
    asked, broken_off = asyncio.Event(), asyncio.Event()

    async def payload() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            broken_off.set()

    async def work(_: Received) -> Actions:
        await asked.wait()
        return [ANSWER]

    def decide(event: Event) -> Decision | None:
        match event:
            case Online():
                return performing(payload)
            case Received():
                return work(event)
            case Stopping():
                asked.set()
        return None

    component = Scripted(decide)
    async with running(component) as bench:
        bench.say(GET, "m1")
        await component.got(Received)
        assert await bench.leave() == 0
        await until(lambda: bench.acks == ["m1"])
        assert bench.heard == [HaveGetJob()]
    assert broken_off.is_set()


async def test_an_effect_begun_in_the_last_turn_is_closed_not_forgotten() -> None:
    async def payload() -> None:
        raise AssertionError("it never gets to begin")

    component = on_command(lambda _: [*performing(payload), Leave(exit_code=3)])
    async with running(component) as bench:
        bench.say(GET, "m1")
        assert await asyncio.wait_for(bench.run, PATIENCE_S) == 3
    assert finished(component) == []


async def test_work_that_does_not_end_is_broken_off_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "LAST_WORK", 0.05)

    async def work(_: Received) -> Actions:
        await asyncio.Event().wait()
        return []

    component = on_command(work)
    async with running(component) as bench:
        bench.say(GET, "m1")
        await component.got(Received)
        assert await bench.leave() == 0
        assert bench.acks == []


async def test_it_may_be_asked_to_stop_before_there_is_a_session() -> None:
    loop = loop_over(Played(), Scripted())
    loop.stop()
    assert await asyncio.wait_for(loop.run(), PATIENCE_S) == 0


def test_a_component_without_effects_says_so() -> None:
    with pytest.raises(TypeError, match="no effects"):
        NoEffects().perform("something")


# -- what an operator is told of messages without effect


def refusing() -> Scripted:
    return on_command(lambda received: [Refuse(received=received, code="stale-attempt", text="too late")])


async def test_the_numbers_of_what_was_dropped_and_refused_are_told_when_it_leaves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    async with running(refusing()) as bench:
        bench.say(GET, "a")
        bench.say(GET, "b")
        bench.say(RUN, "c")
        await until(lambda: bench.endpoint.counts.refused.total() == 2)
        await until(lambda: bench.endpoint.counts.dropped.total() == 1)
        assert "without effect" not in caplog.text
    assert caplog.text.count("without effect") == 1
    assert "since they were last counted: dropped 1 wrong-role; refused 2 stale-attempt" in caplog.text


async def test_the_numbers_are_told_after_a_while_although_nothing_more_happens(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tally, "EVERY", 0.01)
    caplog.set_level("INFO")
    async with running(refusing()) as bench:
        bench.say(GET, "a")
        await until(lambda: "refused 1 stale-attempt" in caplog.text)
        bench.say(GET, "b")
        await until(lambda: caplog.text.count("refused 1 stale-attempt") == 2)


# -- shares


async def test_a_flood_of_one_sender_holds_up_nobody_and_is_worked_off_in_its_order() -> None:
    may_end = asyncio.Event()

    async def work(received: Received) -> Actions:
        if received.sender == PEER:
            await may_end.wait()
        return []

    component = on_command(work)
    async with running(component) as bench:
        flood = [f"f{number}" for number in range(AT_WORK + WAITING + 5)]
        for ident in flood:
            bench.say(GET, ident)
        other = MemoryTransport(bench.network, "other@x/o")
        assert isinstance(await other.next_event(), Connected)
        other.send(Envelope(to=OWN, id="o1", element=codec.encode(GET, ("storage",))))
        acked = await asyncio.wait_for(other.next_event(), PATIENCE_S)
        assert isinstance(acked, Arrived)
        assert acked.envelope.acks == ("o1",)
        assert len(component.commands()) == AT_WORK + 1
        assert bench.endpoint.counts.dropped == {OVER_SHARE: 5}
        may_end.set()
        await until(lambda: len(bench.acks) == AT_WORK + WAITING)
        assert bench.acks == flood[: AT_WORK + WAITING]
        bench.say(GET, flood[-1])  # a copy of what found no place is new
        await until(lambda: flood[-1] in bench.acks)
        await other.close()
