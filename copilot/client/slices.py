"""Arrays for people: wishes for many elements at a time, waiting for all of them, and how they stand in words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from copilot.client.operating import Verb
from copilot.client.selection import Part
from copilot.errors import StoreUnavailable
from copilot.job import State, one_line
from copilot.records import dataclass
from copilot.store.arrays import ArrayRecord, Wish
from copilot.store.base import Store

POLL = 1.0  # s between two looks at an array that somebody waits for
ORDER = (
    State.RUNNING,
    State.WAITING,
    State.BLOCKED,
    State.HELD,
    State.DONE,
    State.FAILED,
    State.CANCELLED,
)
_DONE = {
    Verb.CANCEL: "cancelled, or about to be",
    Verb.HOLD: "held; release lets them go on",
    Verb.RELEASE: "released",
    Verb.RETRY: "wait again, with all their attempts",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PartAnswer:
    """What became of a wish for elements: `changed` and `same` count them. `ok`: nothing stood in the way of any, or at least one was
    changed."""

    job: str
    ok: bool
    changed: int
    same: int
    text: str


async def operate_part(
    store: Store,
    verb: Verb,
    part: Part,
    *,
    reason: str = "",
    states: Sequence[State] = (),
    told: Callable[[int], None] = lambda _: None,
) -> PartAnswer:
    """Try it with all of them; `told` hears of how many more it was. Whoever is stopped may do it again. Raises `StoreUnavailable`."""
    array, place, changed, same = part.array.spec.id, "", 0, 0
    while True:
        done = await store.operate_slice(
            array, part.slice, Wish(verb.value), reason=one_line(reason), states=states, after=place
        )
        if not done.size:
            text = "is not known: look for a typing error; records of old jobs are removed"
            return PartAnswer(job=part.text, ok=False, changed=0, same=0, text=text)
        changed, same = changed + done.changed, same + done.same
        told(done.changed + done.same)
        if not (place := done.next):
            break
    said = [f"{changed:,} of {len(part.ids):,} elements {_DONE[verb]}"] if changed else []
    said += ["1 element is as it was" if same == 1 else f"{same:,} elements are as they were"] if same else []
    return PartAnswer(
        job=part.text,
        ok=changed > 0 or verb is Verb.CANCEL,
        changed=changed,
        same=same,
        text="; ".join(said) or "no elements are there",
    )


async def array_over(
    store: Store,
    array: str,
    told: Callable[[ArrayRecord], None] = lambda _: None,
    *,
    poll: float = POLL,
    away: Callable[[StoreUnavailable], None] = lambda _: None,
) -> ArrayRecord | None:
    """The array when all its elements are over; None if it is not known. `told` hears at each look how it stands, `away` of a queue that does
    not answer: it is asked again."""
    while True:
        try:
            record = await store.array(array)
        except StoreUnavailable as error:
            away(error)
        else:
            if record is None:
                return None
            told(record)
            if record.state.final:
                return record
        await asyncio.sleep(poll)


def counted(counts: Mapping[State, int]) -> str:
    """How many are in each state, in words: `3 running, 97 waiting`."""
    return ", ".join(f"{counts[state]:,} {state}" for state in ORDER if counts.get(state))


def over(record: ArrayRecord) -> int:
    """How many of its elements are over."""
    return sum(number for state, number in record.counts.items() if state.final)
