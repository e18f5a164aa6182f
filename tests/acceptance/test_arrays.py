"""Arrays with the commands of people and a real agent: 100,000 elements submitted, watched, half of them cancelled by a slice, some run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.running import Up, run, script, until

SIZE = 100_000
MOST = 10.0  # s that a submission of so many may take, with the start of the program


@pytest.fixture(scope="module")
def system(ground: Path) -> Iterator[Up]:
    """A system without agents of its own: jobs wait until a test starts one."""
    up = Up(ground / "system")
    with up.running("--agents", 0):
        yield up


def said(system: Up, *words: object, code: int = 0) -> str:
    done = run("copilot", *words[:2], "--config", system.etc, *words[2:])
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout


def submit(system: Up, *words: object) -> str:
    done = run("copilot", "submit", "--config", system.etc, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def counts(system: Up, array: str) -> dict[str, int]:
    async def ask() -> dict[str, int]:
        async with system.store() as store:
            record = await store.array(array)
        assert record is not None
        return {state.value: number for state, number in record.counts.items() if number}

    return asyncio.run(ask())


def test_100_000_elements_are_submitted_watched_cancelled_by_slice_and_some_run(
    system: Up, place: Path
) -> None:
    job = script(place / "element.sh", 'cat data; echo "$1 $COPILOT_ARRAY_INDEX $COPILOT_ARRAY_ID $COPILOT_ARRAY_SIZE"')  # fmt: skip
    data = place / "data"
    data.write_text("for all: ")
    began = time.monotonic()
    submit(system, "--id", "sim", "--array", SIZE, "--input", data, job, "{index}")
    assert time.monotonic() - began < MOST
    assert counts(system, "sim") == {"waiting": SIZE}
    assert submit(system, "--id", "then", "--after-any", "sim", job, "x") == "then"

    submit(system, "--id", "behind", job, "x")
    head, *rows = said(system, "jobs", "list").splitlines()
    assert head.split()[0] == "ID"
    assert [row.split()[:2] for row in rows[:3]] == [[f"sim[{SIZE}]", "waiting"], ["behind", "waiting"], ["then", "blocked"]]  # fmt: skip
    said(system, "jobs", "cancel", "behind", "--yes")
    rows = said(system, "jobs", "list", "sim[-2:]").splitlines()
    assert [line.split()[:2] for line in rows[1:]] == [["sim.99998", "waiting"], ["sim.99999", "waiting"]]
    assert said(system, "jobs", "cancel", "sim[100:50000]", "--yes").startswith(
        "job sim[100:50000]: 49,900 of 49,900 elements cancelled"
    )
    assert counts(system, "sim") == {"waiting": SIZE - 49_900, "cancelled": 49_900}
    assert "50,100 waiting, 49,900 cancelled" in said(system, "jobs", "show", "sim")
    said(system, "jobs", "cancel", "sim[3:]", "--yes")
    with system.agent():
        until(lambda: counts(system, "sim") == {"done": 3, "cancelled": SIZE - 3}, "three elements")
        until(lambda: system.record("then").state == "done", "the job that waits for all")
        until(lambda: system.record("sim.2").published, "the output of the last one")
    assert said(system, "jobs", "output", "sim[2]", "stdout") == f"for all: 2 2 sim {SIZE}\n"
    done = run("copilot", "jobs", "wait", "--config", system.etc, "sim", "--timeout", "30s")
    assert done.returncode == 1, done.stderr
    assert done.stdout == f"array sim: 3 done, {SIZE - 3:,} cancelled\n"
