"""Why an array is where it is: how many of its elements are in which state, and for each state why one of them is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from copilot.client.explaining.reasons import Code, Reason
from copilot.client.explaining.words import count
from copilot.job import State, element_id
from copilot.store.arrays import ArrayRecord
from copilot.store.base import Store

LOOKED_AT = 64  # elements, evenly spread, among which one of each state is looked for
# Whose reason is that of the array, first.
ORDER = (
    State.WAITING,
    State.BLOCKED,
    State.HELD,
    State.RUNNING,
    State.FAILED,
    State.CANCELLED,
    State.DONE,
)


async def explain_array(
    store: Store, array: ArrayRecord, explain: Callable[[str], Awaitable[Reason]]
) -> Reason:
    """`explain` says why one element is where it is; it is asked once for each state. Raises `StoreUnavailable`."""
    job, states = array.spec.id, [state for state in ORDER if array.counts.get(state)]
    examples = await _examples(store, array)
    found = {state: await explain(examples[state]) for state in states if state in examples}
    counts = ", ".join(f"{array.counts[state]:,} {state}" for state in states)
    lines = [_line(state, array.counts[state], reason) for state, reason in found.items()]
    facts = {
        "elements": array.spec.array,
        "counts": {state.value: array.counts[state] for state in states},
        "examples": {state.value: reason.data() for state, reason in found.items()},
    }
    first = next(iter(found.values()), None)
    text = f"array of {count(array.spec.array, 'element')}: {counts}"
    if first is None:  # what it is about was among none of those that were looked at
        return Reason(
            job=job,
            code=Code.ITS_TURN if not array.state.final else Code.DONE,
            text=text,
            next=f"`copilot jobs explain {element_id(job, 0)}` says it of one element",
            facts=facts,
        )
    return replace(
        first, job=job, text=f"{text}; {first.job}: {first.text}", facts=facts, more=tuple(lines[1:])
    )


def _line(state: State, number: int, reason: Reason) -> str:
    return f"  {number:,} {state}, like {reason.job}: {reason.text}"


async def _examples(store: Store, array: ArrayRecord) -> Mapping[State, str]:
    """An element in each state, as far as there is one among those that are looked at. Elements begin in their order, so the first one
    that waits is mostly behind as many as do not."""
    spec, begun = array.spec, array.spec.array - array.counts.get(State.WAITING, 0)
    spread = {round(turn * (spec.array - 1) / max(1, LOOKED_AT - 1)) for turn in range(LOOKED_AT)}
    spread.add(min(begun, spec.array - 1))
    names = [element_id(spec.id, index) for index in sorted(spread)]
    records = await asyncio.gather(*map(store.get, names))  # at one moment, so they go together
    found: dict[State, str] = {}
    for name, record in zip(names, records, strict=True):
        if record is not None:
            found.setdefault(record.state, name)
    return found
