"""Agents that leave, with the real programs: nothing is lost, nothing counted, and the next agent goes on."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from copilot.job import Cause, State
from tests.acceptance.running import LIMIT_S, Up, remembers_nothing, run, script, stop, until


@pytest.fixture(scope="module")
def system(ground: Path) -> Iterator[Up]:
    """A system with the files of two agents, neither of which runs."""
    up = Up(ground / "system")
    with up.running("--agents", 1):
        pass
    with up.running("--agents", 0):
        yield up


@pytest.fixture
def marks(place: Path) -> Path:
    """A directory that jobs may write to and look into."""
    place.chmod(0o777)
    return place


def submitted(system: Up, job: str, path: Path, text: str) -> None:
    done = system.submit(script(path / f"{job}.sh", text), "--id", job)
    assert done.returncode == 0, done.stderr


def waits_for(path: Path) -> str:
    return f"until [ -e {path} ]; do sleep 0.05; done"


def ended(process: subprocess.Popen[bytes]) -> int:
    """The exit code of an agent that nobody has asked to end, or that was asked already."""
    return process.wait(LIMIT_S)


def test_a_short_job_is_finished_and_reported_after_the_signal(system: Up, marks: Path) -> None:
    submitted(system, "short", marks, f"touch {marks}/begun; {waits_for(marks / 'go')}")
    submitted(system, "next", marks, "true")
    with system.agent(AGENT_DRAIN_GRACE="40s") as agent:
        until((marks / "begun").exists, "the job")
        agent.send_signal(signal.SIGTERM)
        until(lambda: "takes nothing new" in log_of(system, 1), "the word of it")
        (marks / "go").touch()
        assert ended(agent) == 0
    record = system.record("short")
    assert (record.state, record.attempt, record.attempts_used) == (State.DONE, 1, 1)
    assert system.record("next").attempt == 0
    with system.agent():
        until(lambda: system.record("next").state is State.DONE, "the other job, by the agent's next life")


def test_a_long_job_goes_to_another_agent_at_once_and_the_attempt_is_not_counted(
    system: Up, marks: Path
) -> None:
    text = f"touch {marks}/begun-$COPILOT_ATTEMPT; [ $COPILOT_ATTEMPT != 1 ] || sleep 600"
    submitted(system, "long", marks, text)
    with system.agent(1, AGENT_DRAIN_GRACE="0") as agent:
        until((marks / "begun-1").exists, "the job")
        assert stop(agent, signal.SIGTERM) == 0
    record = system.record("long")
    assert (record.state, record.attempts_used) == (State.WAITING, 0)
    assert remembers_nothing(machine(system, 1) / "work")
    assert not list(machine(system, 1).glob("work/jobs/*"))
    with system.agent(2):
        until(lambda: system.record("long").state is State.DONE, "the job, by another agent")
    record = system.record("long")
    assert (record.attempt, record.attempts_used) == (2, 1)
    shown = run("copilot", "jobs", "show", "long", "--config", system.etc).stdout
    assert Cause.INFRA_PREEMPTED in shown


def test_an_agent_of_one_job_leaves_after_it(system: Up, marks: Path) -> None:
    submitted(system, "one", marks, "true")
    submitted(system, "two", marks, "true")
    with system.agent(AGENT_MAX_JOBS="1", AGENT_DRAIN_GRACE="40s") as agent:
        assert ended(agent) == 0
    assert (system.record("one").state, system.record("two").attempt) == (State.DONE, 0)
    with system.agent(AGENT_MAX_IDLE="1s") as agent:
        assert ended(agent) == 0
    assert system.record("two").state is State.DONE


def test_an_operator_has_an_agent_leave(system: Up, marks: Path) -> None:
    submitted(system, "last", marks, f"touch {marks}/begun; {waits_for(marks / 'go')}")
    with system.agent(AGENT_DRAIN_GRACE="40s") as agent:
        until((marks / "begun").exists, "the job")
        done = run("copilot", "agents", "drain", "agent-1@copilot.internal", "--config", system.etc)
        assert (done.returncode, done.stderr) == (0, "")
        until(lambda: "takes nothing new" in log_of(system, 1), "the order")
        (marks / "go").touch()
        assert ended(agent) == 0
    assert system.record("last").state is State.DONE
    with system.agent():  # its wish is fulfilled
        submitted(system, "after", marks, "true")
        until(lambda: system.record("after").state is State.DONE, "a job of its next life")


def machine(system: Up, number: int) -> Path:
    """Where an agent lives."""
    return system.directory.parent / f"machine-{number}"


def log_of(system: Up, number: int) -> str:
    """What it has said in this life."""
    return (machine(system, number) / "agent.out").read_text()
