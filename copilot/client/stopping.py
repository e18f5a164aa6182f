"""Waiting until agents have confirmed that jobs which somebody has cancelled are stopped."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace

from copilot.client.operating import Answer
from copilot.job import State
from copilot.store.base import Store

CONFIRMED_WITHIN = 15.0  # s; a payload that does not heed SIGTERM is killed after 10
MOST = 100  # jobs that are looked at
_LOOK = 0.1  # s


async def confirmed(
    store: Store, answers: Sequence[Answer], *, within: float = CONFIRMED_WITHIN
) -> list[Answer]:
    """The answers to wishes to cancel, with what became of jobs that ran: whether their agents have stopped them after at most `within`
    seconds. Raises `StoreUnavailable`."""
    waits = {one.job for one in answers if one.ok and one.state is State.RUNNING}
    found: dict[str, Answer] = {}
    if len(waits) > MOST:
        return list(answers)
    begun = time.monotonic()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            while len(found) < len(waits):
                left = sorted(waits - found.keys())
                for job, record in zip(left, await asyncio.gather(*map(store.get, left)), strict=True):
                    if record is None or record.state is not State.RUNNING:
                        state, took = None if record is None else record.state, time.monotonic() - begun
                        found[job] = _ended(job, state, took)
                await asyncio.sleep(_LOOK if len(found) < len(waits) else 0)
    return [found.get(one.job, _unconfirmed(one, within) if one.job in waits else one) for one in answers]


def _ended(job: str, state: State | None, took: float) -> Answer:
    text = {
        State.CANCELLED: f"cancelled; its agent has stopped it ({took:.1f} s)",
        None: "is not known any more",
    }.get(state, f"has ended by itself before it could be stopped: {state}")
    return Answer(job=job, ok=True, changed=True, state=state, text=text)


def _unconfirmed(one: Answer, within: float) -> Answer:
    text = f"its agent has not confirmed within {within:g} s that it has stopped it; it is told again until it does, or its lease ends"
    return replace(one, text=text)
