"""An array behaves as its elements: in memory, where these are jobs from the begin, and in Redis, where they are ranges."""

from __future__ import annotations

import os

import pytest
from hypothesis import Phase, settings

from copilot.store.base import Store
from copilot.store.memory import MemoryStore
from tests.contract.store_fixtures import fake_redis_store
from tests.unit.store.array_machine import ArrayMachine
from tests.unit.store.test_redis import BothVersions

# `COPILOT_ARRAY_EXAMPLES=500 pytest tests/unit/store/test_arrays.py` looks for longer.
EXAMPLES = int(os.environ.get("COPILOT_ARRAY_EXAMPLES", "4"))


class ArraysOfBothVersions(ArrayMachine):
    def make_stores(self) -> list[Store]:
        return [MemoryStore(), fake_redis_store()]

    the_heads_are_the_first_jobs_of_the_groups = BothVersions.the_heads_are_the_first_jobs_of_the_groups


@pytest.mark.timeout(600)
class TestArraysOfBothVersions(ArraysOfBothVersions.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(
        max_examples=EXAMPLES, stateful_step_count=20, deadline=None, phases=[Phase.generate, Phase.reuse]
    )
