"""What operators are told, for each wish and each state of a job."""

from __future__ import annotations

import pytest

from copilot.client.operating import Verb, operate
from copilot.job import Cause, JobSpec, Outcome, State
from copilot.store.memory import MemoryStore

GOOD, BAD = Outcome(cause=Cause.OK, exit_code=0), Outcome(cause=Cause.USER_EXIT, exit_code=3)
STATES = ("waiting", "held", "running", "cancelling", "done", "failed", "unpublished", "cancelled", "unknown")


async def a_job(kind: str) -> MemoryStore:
    """A queue with job `j` in this state; those that are over are published, but `unpublished` (it failed)."""
    store = MemoryStore()
    if kind == "unknown":
        return store
    await store.submit([JobSpec(id="j", command="c")])
    if kind == "held":
        await store.hold("j")
    elif kind == "cancelled":
        await store.cancel("j")
    elif kind != "waiting":
        await store.claim(agent="a", request="r", dispatch_limit=60)
    if kind == "cancelling":
        await store.cancel("j")
    elif kind in ("done", "failed", "unpublished"):
        await store.finish("j", 1, GOOD if kind == "done" else BAD)
    if kind in ("done", "failed", "cancelled"):
        await store.publish("j")
    return store


@pytest.mark.parametrize(
    ("verb", "kind", "state", "text"),
    [
        (Verb.CANCEL, "waiting", State.CANCELLED, "cancelled"),
        (Verb.CANCEL, "held", State.CANCELLED, "cancelled"),
        (Verb.CANCEL, "running", State.RUNNING, "its agent will be told to stop it"),
        (Verb.HOLD, "waiting", State.HELD, "held; release lets it go on"),
        (Verb.RELEASE, "held", State.WAITING, "released; it waits at its old place"),
        (Verb.RETRY, "failed", State.WAITING, "waits again, with all its attempts"),
        (Verb.RETRY, "cancelled", State.WAITING, "waits again, with all its attempts"),
    ],
)
async def test_what_was_wanted_is_done(verb: Verb, kind: str, state: State, text: str) -> None:
    answer = await operate(await a_job(kind), verb, "j")
    assert (answer.ok, answer.changed, answer.state) == (True, True, state)
    assert answer.text.endswith(text)


@pytest.mark.parametrize(
    ("verb", "kind", "text"),
    [
        (Verb.CANCEL, "cancelled", "is cancelled already"),
        (Verb.CANCEL, "cancelling", "is being cancelled already; its agent has yet to stop it"),
        (Verb.HOLD, "held", "is held already"),
        (Verb.RELEASE, "waiting", "waits already"),
        (Verb.RETRY, "waiting", "waits already"),
    ],
)
async def test_what_is_so_already_is_well(verb: Verb, kind: str, text: str) -> None:
    answer = await operate(await a_job(kind), verb, "j")
    assert (answer.ok, answer.changed, answer.text) == (True, False, text)


@pytest.mark.parametrize(
    ("verb", "kind", "text"),
    [
        (Verb.HOLD, "running", "is running: cancel it, or wait"),
        (Verb.HOLD, "failed", "is over (failed): only a waiting job can be held"),
        (Verb.CANCEL, "done", "is over (done): there is nothing to cancel"),
        (Verb.RELEASE, "cancelled", "retry runs it once more"),
        (Verb.RETRY, "held", "is held: release it"),
        (Verb.RETRY, "cancelling", "is running: wait for its end, or cancel it first"),
        (Verb.RETRY, "done", "submit a new one"),
        (Verb.RETRY, "unpublished", "its result is not yet with its finisher: try again in a moment"),
    ],
)
async def test_what_cannot_be_done_says_why_and_what_to_do(verb: Verb, kind: str, text: str) -> None:
    store = await a_job(kind)
    before = await store.get("j")
    answer = await operate(store, verb, "j")
    assert (answer.ok, answer.changed) == (False, False)
    assert text in answer.text
    assert await store.get("j") == before


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("kind", STATES)
async def test_there_is_a_text_for_every_wish_and_state(verb: Verb, kind: str) -> None:
    answer = await operate(await a_job(kind), verb, "j")
    assert answer.text
    assert answer.ok or not answer.changed


async def test_a_reason_moves_no_cursor() -> None:
    store = await a_job("waiting")
    await operate(store, Verb.HOLD, "j", reason="disk\x1b[2J\nfull")
    assert (await store.events())[-1].text == "disk\\x1b[2J\\nfull"
