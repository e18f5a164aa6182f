"""What the fuzzer has kept does no harm, nor do changes to it."""

from __future__ import annotations

import importlib
from random import Random

import pytest

from tests.fuzz.corpus import TARGETS, kept

CHANGES = 60  # of each target's inputs


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_that_was_kept_finds_a_bug(name: str) -> None:
    target = importlib.import_module(f"tests.fuzz.targets.{name}")
    inputs = [path.read_bytes() for path in kept(name)]
    assert inputs, f"there is no corpus of {name}"
    for data in inputs:
        target.run(data)


@pytest.mark.parametrize("name", TARGETS)
def test_nor_does_one_with_a_fault(name: str) -> None:
    target = importlib.import_module(f"tests.fuzz.targets.{name}")
    random, inputs = Random(1), [path.read_bytes() for path in kept(name)]
    for _ in range(CHANGES):
        data = bytearray(random.choice(inputs))
        for _ in range(random.randint(1, 4)):
            at = random.randrange(len(data) + 1)
            data[at : at + random.randrange(3)] = random.randbytes(random.randrange(3))
        target.run(bytes(data))
