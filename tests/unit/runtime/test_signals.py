"""SIGTERM and SIGINT, sent to a small program of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.patience import PATIENCE_S

PROGRAM = """
import asyncio
from copilot.runtime.signals import on_stop

async def main(obedient):
    asked = asyncio.Event()
    with on_stop(lambda: (print("asked", flush=True), asked.set())):
        print("ready", flush=True)
        await asked.wait()
        if not obedient:
            await asyncio.Event().wait()
    print("over", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(OBEDIENT))
"""


@pytest.fixture
def program(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A program that ends what it does when it is asked to, or (parameter False) does not."""
    text = PROGRAM.replace("OBEDIENT", repr(getattr(request, "param", True)))
    with subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert says(process) == "ready"
        yield process
        process.kill()


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@BOTH
@pytest.mark.parametrize("program", [False], indirect=True)
def test_the_first_asks_and_the_second_ends(program: subprocess.Popen[str], number: signal.Signals) -> None:
    program.send_signal(number)
    assert says(program) == "asked"
    assert program.poll() is None
    program.send_signal(number)
    assert program.wait(PATIENCE_S) == 128 + number


@pytest.mark.parametrize("program", [False], indirect=True)
def test_the_second_may_be_another_signal(program: subprocess.Popen[str]) -> None:
    program.send_signal(signal.SIGINT)
    assert says(program) == "asked"
    program.send_signal(signal.SIGTERM)
    assert program.wait(PATIENCE_S) == 128 + signal.SIGTERM


def test_outside_a_signal_means_what_it_always_means(program: subprocess.Popen[str]) -> None:
    program.send_signal(signal.SIGTERM)
    assert [says(program), says(program)] == ["asked", "over"]
    program.send_signal(signal.SIGTERM)
    assert program.wait(PATIENCE_S) == -signal.SIGTERM
