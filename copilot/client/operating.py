"""What operators want of a job, and what they are told: that it is done, or why not and what to do instead."""

from __future__ import annotations

import enum

from copilot.job import State, one_line
from copilot.records import dataclass
from copilot.store.base import Changed, Store


class Verb(enum.StrEnum):
    """What can be wanted of a job."""

    CANCEL = "cancel"
    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"


class AgentVerb(enum.StrEnum):
    """What can be wanted of an agent."""

    DRAIN = "drain"
    QUARANTINE = "quarantine"
    RELEASE = "release-agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one wish. `ok`: the job is as wanted, or on its way there; `state` is None if it is not known."""

    job: str
    ok: bool
    changed: bool
    state: State | None
    text: str


_OVER = (State.DONE, State.FAILED, State.CANCELLED)

_DONE = {
    (Verb.CANCEL, State.CANCELLED): "cancelled",
    (Verb.CANCEL, State.RUNNING): "is running; its agent will be told to stop it",
    (Verb.HOLD, State.HELD): "held; release lets it go on",
    (Verb.RELEASE, State.WAITING): "released; it waits at its old place",
    (
        Verb.RELEASE,
        State.BLOCKED,
    ): "released; it waits for other jobs, as before: release it once more, and it waits for none",
    (Verb.RETRY, State.WAITING): "waits again, with all its attempts",
    (Verb.RETRY, State.BLOCKED): "waits for other jobs again, as before",
}
_SO_ALREADY = {
    (Verb.CANCEL, State.CANCELLED): "is cancelled already",
    (Verb.CANCEL, State.RUNNING): "is being cancelled already; its agent has yet to stop it",
    (Verb.HOLD, State.HELD): "is held already",
    (Verb.RELEASE, State.WAITING): "waits already",
    (Verb.RETRY, State.WAITING): "waits already",
    (Verb.RETRY, State.BLOCKED): "waits for other jobs: release it, and it waits for none",
}
_WHY_NOT = {
    (Verb.HOLD, State.RUNNING): "is running: cancel it, or wait",
    (Verb.RELEASE, State.RUNNING): "is running, so it is not held: nothing is to be done",
    (Verb.RETRY, State.RUNNING): "is running: wait for its end, or cancel it first",
    (Verb.RETRY, State.HELD): "is held: release it",
    (
        Verb.RETRY,
        State.DONE,
    ): "is done: only a job that failed or was cancelled runs once more; submit a new one",
    **{(Verb.CANCEL, state): f"is over ({state}): there is nothing to cancel" for state in _OVER[:2]},
    **{(Verb.HOLD, state): f"is over ({state}): only a waiting job can be held" for state in _OVER},
    (Verb.RELEASE, State.DONE): "is over (done), so it is not held",
    **{
        (Verb.RELEASE, state): f"is over ({state}), so it is not held: retry runs it once more"
        for state in _OVER[1:]
    },
    **{
        (
            Verb.RETRY,
            state,
        ): f"is over ({state}), but its result is not yet with its finisher: try again in a moment; "
        "if that does not help, look whether a storage manager runs"
        for state in _OVER[1:]
    },
}


async def operate(store: Store, verb: Verb, job: str, *, reason: str = "") -> Answer:
    """Try it, and say what became of it. Raises `StoreUnavailable`: then the same may be asked again."""
    wish = {
        Verb.CANCEL: store.cancel,
        Verb.HOLD: store.hold,
        Verb.RELEASE: store.release,
        Verb.RETRY: store.retry,
    }
    return answer(verb, job, await wish[verb](job, reason=one_line(reason)))


def answer(verb: Verb, job: str, changed: Changed) -> Answer:
    """The store's answer in words."""
    state = changed.state
    if state is None:
        ok, text = False, "is not known: look for a typing error; records of old jobs are removed"
    elif changed.changed:
        ok, text = True, _DONE[verb, state]
    elif (verb, state) in _SO_ALREADY:
        ok, text = True, _SO_ALREADY[verb, state]
    else:
        ok, text = False, _WHY_NOT[verb, state]
    return Answer(job=job, ok=ok, changed=changed.changed, state=state, text=text)
