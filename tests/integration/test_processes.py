"""Commands run for real: their limits, their children, and that nothing of them stays."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from copilot.agent import strays
from copilot.agent.guard import start_guard
from copilot.agent.processes import Exit, NotStarted, become_subreaper, run
from copilot.agent.sandbox import TOKEN_FILE
from tests.patience import PATIENCE_S


@pytest.fixture(autouse=True)
def _subreaper() -> None:
    become_subreaper()


async def run_shell(directory: Path, text: str, *, token: str = "", limit: float | None = None) -> Exit:
    """Run a shell text in `directory`; its output is in `out` and `err` there."""
    return await run(
        ["/bin/sh", "-c", text],
        cwd=directory,
        environment={"PATH": os.environ["PATH"], "HOME": str(directory)},
        stdout=directory / "out",
        stderr=directory / "err",
        token=token or secrets.token_hex(8),
        limit=limit,
        grace=0.3,
    )


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for `condition`, at most ten seconds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)


def has_text(path: Path) -> bool:
    return path.exists() and path.read_text() != ""


def started_after(since: int) -> list[strays.Process]:
    """Processes of ours, living or zombies, of other sessions that started since."""
    return [
        process
        for process in strays.process_table()
        if process.started >= since and process.parent == os.getpid() and process.session != os.getsid(0)
    ]


async def test_exit_code_and_both_streams_are_kept(tmp_path: Path) -> None:
    ended = await run_shell(tmp_path, "echo good; echo bad >&2; exit 3")
    assert (ended.code, ended.signal, ended.limited, ended.strays) == (3, None, False, 0)
    assert (tmp_path / "out").read_text() == "good\n"
    assert (tmp_path / "err").read_text() == "bad\n"
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600


async def test_a_signal_is_told(tmp_path: Path) -> None:
    ended = await run_shell(tmp_path, "kill -SEGV $$")
    assert (ended.code, ended.signal, ended.shell_code) == (None, signal.SIGSEGV, 139)


async def test_the_command_leads_its_own_session_with_clean_surroundings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_PASSWORD", "secret")
    with (tmp_path / "held").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        await run_shell(
            tmp_path,
            "cat; env; ls -l /proc/self/fd; umask; ulimit -c; awk '{print $1, $5, $6}' /proc/$$/stat",
        )
    said = (tmp_path / "out").read_text()
    assert "secret" not in said
    assert "held" not in said
    assert "pipe:" not in said
    *_, umask, core, ids = said.splitlines()
    assert (umask, core) == ("0077", "0")
    assert len(set(ids.split())) == 1


async def test_an_unknown_program_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotStarted, match="/no/such/program"):
        await run(
            ["/no/such/program"],
            cwd=tmp_path,
            environment={},
            stdout=tmp_path / "out",
            stderr=tmp_path / "err",
            token="t",
        )


async def test_the_run_time_is_limited_by_term_first(tmp_path: Path) -> None:
    ended = await run_shell(tmp_path, "trap 'echo told; exit 7' TERM; sleep 60 & wait", limit=1.0)
    assert ended.limited
    assert ended.code == 7
    assert (tmp_path / "out").read_text() == "told\n"


async def test_who_ignores_term_is_killed_after_the_grace(tmp_path: Path) -> None:
    ended = await run_shell(tmp_path, "trap '' TERM; while :; do sleep 60; done", limit=1.0)
    assert ended.limited
    assert ended.signal == signal.SIGKILL


@pytest.mark.parametrize(
    ("leave", "count"),
    [
        ("sleep 600 &", 1),
        ("setsid sleep 600 &", 1),
        ("(setsid sh -c 'sleep 600 & sleep 600 & echo >ready; wait' &); until [ -e ready ]; do :; done", 3),
        ("env -i sleep 600 &", 1),
        ("setsid sh -c 'env -i sleep 600 & echo >ready; wait' & until [ -e ready ]; do :; done", 2),
        ("trap '' TERM; setsid sleep 600 &", 1),
    ],
)
async def test_what_the_command_leaves_is_stopped_counted_and_reaped(
    tmp_path: Path, leave: str, count: int
) -> None:
    since = strays.ticks_now()
    ended = await run_shell(tmp_path, f"{leave}\nexit 0")
    assert ended.code == 0
    assert ended.strays == count
    assert started_after(since) == []


async def test_orphans_that_end_by_themselves_leave_no_zombies(tmp_path: Path) -> None:
    since = strays.ticks_now()
    await run_shell(tmp_path, "for i in 1 2 3 4 5; do (setsid true &); done")
    assert started_after(since) == []


async def test_orphans_of_a_long_job_are_reaped_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copilot.agent.processes.REAP_INTERVAL", 0.05)
    since = strays.ticks_now()
    text = "(setsid true &); (setsid true &); echo ready; until [ -e over ]; do sleep 0.02; done"
    task = asyncio.create_task(run_shell(tmp_path, text, limit=30))
    await until(lambda: has_text(tmp_path / "out"), "the payload did not start")
    await until(lambda: len(started_after(since)) == 1, "more than the leader is left")
    (tmp_path / "over").touch()
    assert (await task).code == 0


async def test_strays_of_one_attempt_are_no_strays_of_another(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    long = asyncio.create_task(
        run_shell(
            tmp_path / "one",
            "mkfifo go; (setsid cat go &); echo; until [ -e over ]; do sleep 0.05; done; echo x >go; echo survived",
        )
    )
    await until(lambda: has_text(tmp_path / "one" / "out"), "the first did not start")
    ended = await run_shell(tmp_path / "two", "setsid sleep 600 &")
    assert ended.strays == 1
    (tmp_path / "one" / "over").touch()
    assert (await long).code == 0
    assert "survived" in (tmp_path / "one" / "out").read_text()


async def test_exit_statuses_of_other_children_are_left_to_asyncio(tmp_path: Path) -> None:
    async def plain(code: int) -> int:
        process = await asyncio.create_subprocess_exec("/bin/sh", "-c", f"sleep 0.0{code}; exit {code}")
        return await process.wait()

    async def payload(number: int) -> int:
        directory = tmp_path / str(number)
        directory.mkdir()
        return (await run_shell(directory, f"(setsid true &); exit {number}")).shell_code

    jobs = [payload(number) for number in range(1, 20)]
    others = [plain(number) for number in range(1, 10)]
    results = await asyncio.gather(*jobs, *others)
    assert results == [*range(1, 20), *range(1, 10)]


async def test_cancelling_kills_all_and_reaps(tmp_path: Path) -> None:
    since = strays.ticks_now()
    text = "trap '' TERM; setsid sleep 600 & sleep 600 & echo ready; while :; do wait; done"
    task = asyncio.create_task(run_shell(tmp_path, text))
    await until(lambda: has_text(tmp_path / "out"), "the payload did not start")
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert started_after(since) == []


@pytest.fixture
def hang_up() -> Iterator[None]:
    """SIGHUP does what it does by default: who runs the tests by nohup(1) has it ignored, and so have children."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


AGENT = """
import asyncio, signal, sys
from pathlib import Path
from copilot.agent.guard import start_guard
from copilot.agent.processes import become_subreaper, run
here = Path(sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start what runs in the background without it
start_guard(here / "jobs")
become_subreaper()
text = "trap '' TERM HUP; setsid sleep 600 & sleep 600 & echo ready; while :; do wait; done"
asyncio.run(run(["/bin/sh", "-c", text], cwd=here, environment={}, stdout=here / "out", stderr=here / "err",
    token=sys.argv[2]))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
async def test_nothing_of_a_payload_outlives_its_agent(tmp_path: Path, number: signal.Signals) -> None:
    token, out = secrets.token_hex(8), tmp_path / "out"
    (tmp_path / "jobs" / "j1.a1").mkdir(parents=True)
    (tmp_path / "jobs" / "j1.a1" / TOKEN_FILE).write_text(token)
    with subprocess.Popen([sys.executable, "-c", AGENT, tmp_path, token], stderr=subprocess.DEVNULL) as agent:
        await until(lambda: has_text(out), "the payload did not start")
        assert len(strays._members(token, None, 0)) == 3
        agent.send_signal(number)
    await until(lambda: strays._members(token, None, 0) == set(), "the payload outlived its agent")


def test_the_guard_is_not_stopped_by_what_a_payload_puts_in_place_of_its_token(tmp_path: Path) -> None:
    for name, kind in (
        ("a.a1", os.mkfifo),
        ("b.a1", Path.mkdir),
        ("c.a1", lambda path: path.write_bytes(b"\xff")),
    ):
        (tmp_path / "jobs" / name).mkdir(parents=True)
        kind(tmp_path / "jobs" / name / TOKEN_FILE)
    start_guard(tmp_path / "jobs").dismiss()


async def test_a_payload_may_signal_its_own_group(tmp_path: Path, hang_up: None) -> None:
    ended = await run_shell(tmp_path, "trap '' TERM; kill -TERM 0; kill -HUP 0 2>/dev/null; echo no")
    assert ended.signal == signal.SIGHUP
    assert ended.strays == 0
