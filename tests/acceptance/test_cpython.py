"""CPython's own tests of executors, on ours, with real servers and one agent of many slots."""

from __future__ import annotations

import unittest
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cloudpickle
import pytest

from tests.acceptance.running import Up
from tests.cpython import concurrent_futures as theirs

SLOTS = 12
# Tests that sleep most of the time, and change nothing that others see: each of these classes has a thread of its own.
BESIDE = (theirs.CopilotWaitTest, theirs.CopilotAsCompletedTest)


@pytest.fixture
def _by_value() -> Iterator[None]:
    """No agent has the module of the tests."""
    cloudpickle.register_pickle_by_value(theirs)
    yield
    cloudpickle.unregister_pickle_by_value(theirs)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("_by_value")
def test_cpythons_own_tests_pass(up: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPILOT_CONFIG", str(up.etc))
    result = unittest.TestResult()
    everything = unittest.defaultTestLoader.loadTestsFromModule(theirs)
    beside = [part for part in everything if part.countTestCases() and isinstance(next(iter(part)), BESIDE)]
    with (
        up.running("--agents", 0),
        up.agent(1, AGENT_SLOTS=str(SLOTS)),
        ThreadPoolExecutor(len(beside)) as threads,
    ):
        others = [threads.submit(part.run, unittest.TestResult()) for part in beside]
        for part in everything:
            if part not in beside:
                part.run(result)
    results = [result, *(other.result() for other in others)]
    wrong = [one for result in results for one in (*result.errors, *result.failures)]
    assert not wrong, "\n".join(f"{test.id()}\n{text}" for test, text in wrong)
    assert sum(result.testsRun for result in results) == everything.countTestCases() > 40
