"""Children start, are waited for, and end; with real processes."""

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from copilot.errors import ConfigError, CopilotError
from copilot.local.process import Child, identity, make_directory, reachable, unprivileged_user
from tests.patience import PATIENCE_S

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


async def start(directory: Path, script: str, env: Sequence[tuple[str, str]] = ()) -> Child:
    return await Child.start(
        ["/bin/sh", "-c", script],
        log=directory / "log",
        user=unprivileged_user(),
        env=dict(env),
        cwd=Path("/"),
    )


def said(directory: Path, text: str) -> bool:
    return text in (directory / "log").read_text()


async def test_a_child_that_ends_at_once_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    child = await start(tmp_path, "echo no such thing; exit 3")
    with pytest.raises(CopilotError, match=r"ended with exit code 3\.(.|\n)*no such thing"):
        await child.wait_until(lambda: False, limit_s=10)


async def test_a_child_that_is_not_ready_in_time_is_stopped(tmp_path: Path) -> None:
    child = await start(tmp_path, "exec sleep 60")
    with pytest.raises(CopilotError, match=r"not ready after 0.05 s(.|\n)*\(empty\)"):
        await child.wait_until(lambda: False, limit_s=0.05)
    assert not child.running


async def test_a_child_is_stopped_when_the_one_who_waits_for_it_is_cancelled(tmp_path: Path) -> None:
    child = await start(tmp_path, "exec sleep 60")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(child.wait_until(lambda: False, limit_s=50), 0.05)
    assert not child.running


async def test_stop_asks_first(tmp_path: Path) -> None:
    child = await start(tmp_path, "trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.01; done")
    await child.wait_until(lambda: said(tmp_path, "up"), limit_s=PATIENCE_S)
    await child.stop()
    assert await child.wait() == 0
    assert said(tmp_path, "bye")


async def test_stop_kills_what_does_not_end(tmp_path: Path) -> None:
    child = await start(tmp_path, "trap '' TERM; echo up; while :; do sleep 0.01; done")
    await child.wait_until(lambda: said(tmp_path, "up"), limit_s=PATIENCE_S)
    await child.stop(grace_s=0.05)
    assert await child.wait() == -signal.SIGKILL
    assert not psutil.pid_exists(child.pid)


async def test_the_last_log_is_kept(tmp_path: Path) -> None:
    for word in ("first", "second", "third"):
        await (await start(tmp_path, f"echo {word}")).wait()
    assert (tmp_path / "log.1").read_text() == "second\n"
    assert (tmp_path / "log").read_text() == "third\n"


async def test_a_child_knows_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD_OF_SOMEBODY", "secret")
    await (await start(tmp_path, "env", [("ANSWER", "42")])).wait()
    assert said(tmp_path, "ANSWER=42")
    assert not said(tmp_path, "secret")


async def test_a_child_may_open_as_many_files_as_the_machine_allows(tmp_path: Path) -> None:
    await (await start(tmp_path, "ulimit -Sn; ulimit -Hn")).wait()
    soft, hard = (tmp_path / "log").read_text().split()
    assert soft == hard


@as_root
async def test_as_root_a_child_is_somebody_else_without_our_groups(tmp_path: Path) -> None:
    await (await start(tmp_path, "id -un; id -G | wc -w")).wait()
    assert (tmp_path / "log").read_text().split() == [unprivileged_user(), "1"]


@as_root
def test_a_directory_that_the_servers_cannot_enter_is_refused(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ConfigError, match=f"{closed}/server cannot be entered by the user"):
        make_directory(closed / "server", unprivileged_user())


def test_our_own_directory_is_closed_to_others(tmp_path: Path) -> None:
    make_directory(tmp_path / "a" / "b", None)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert reachable(tmp_path / "a" / "b", None)


def test_an_unknown_user_is_named() -> None:
    with pytest.raises(ConfigError, match="no user no-such-user"):
        identity("no-such-user")


def test_nobody_needs_another_user_but_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert unprivileged_user() is None
    assert identity(None) == {}
