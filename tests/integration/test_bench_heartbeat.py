"""Simulated components in chat rooms answer a ping of all in time; `make bench-heartbeat` asks 500, on both servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.heartbeat import GOAL_S, measure

COMPONENTS = 100


@pytest.mark.usefixtures("prosody")  # asked for to skip where there is none; its rooms are others'
async def test_all_answer_in_time(
    open_directory: Path, record_property: Callable[[str, object], None]
) -> None:
    pinged, entered = await measure("prosody", open_directory, components=COMPONENTS, shards=2, times=1)
    record_property("ping_of_all_s", pinged.value)
    record_property("log_in_of_all_s", entered.value)
    assert pinged.value is not None
    assert pinged.value < GOAL_S
