"""What ends is started again, and not for ever; with real processes."""

import asyncio
import logging
import os
import signal
from pathlib import Path

import pytest

from copilot.errors import ConfigError, CopilotError
from copilot.local import keeper
from copilot.local.component import Component
from copilot.local.keeper import MOST_QUICK_ENDS, keep
from tests.patience import PATIENCE_S

LIMIT_S = PATIENCE_S


def service(directory: Path, script: str, *, may_leave: bool = False, dispensable: bool = False) -> Component:
    """A shell script that is ready when it has said so; each of its starts adds a byte to `starts`."""
    return Component(
        "example",
        ["/bin/sh", "-c", f"printf x >> {directory}/starts\n{script}"],
        log=directory / "log",
        environment={},
        ready="ready",
        may_leave=may_leave,
        dispensable=dispensable,
    )


def starts(directory: Path) -> int:
    return len((directory / "starts").read_text())


async def kept(service: Component) -> None:
    """Keep it, without any wait between its lives, until the keeper ends."""
    try:
        async with asyncio.timeout(LIMIT_S):
            await keep(service, asyncio.Event(), random=lambda: 0.0)
    finally:
        await service.stop()


async def test_what_does_not_last_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(CopilotError, match=r"(?s)example ended 5 times in a row.*exit code 3.*out of luck"):
        await kept(service(tmp_path, "echo ready; echo out of luck; exit 3"))
    assert starts(tmp_path) == MOST_QUICK_ENDS == 5


async def test_what_never_gets_ready_is_given_up_too(tmp_path: Path) -> None:
    with pytest.raises(CopilotError, match=r"(?s)5 times in a row.*exit code 1.*no such thing"):
        await kept(service(tmp_path, "echo no such thing; exit 1"))
    assert starts(tmp_path) == MOST_QUICK_ENDS


async def test_what_is_dispensable_is_given_up_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await kept(service(tmp_path, "echo no such thing; exit 1", dispensable=True))
    assert starts(tmp_path) == MOST_QUICK_ENDS
    assert caplog.messages[-1].endswith("The rest of the system goes on without it.")


async def test_what_has_lasted_between_its_ends_is_not_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "QUICK_S", 0.0)
    often = 2 * MOST_QUICK_ENDS
    lives = service(tmp_path, f"echo ready; [ $(wc -c < {tmp_path}/starts) -ge {often} ]", may_leave=True)
    await kept(lives)
    assert starts(tmp_path) == often


async def test_what_is_killed_is_told_and_started_again_as_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "copilot.local")
    mortal, ready = service(tmp_path, "echo ready; echo so far; exec sleep 300"), asyncio.Event()
    keeping = asyncio.create_task(keep(mortal, ready, random=lambda: 0.0))
    try:
        async with asyncio.timeout(LIMIT_S):
            await ready.wait()
            assert mortal._child is not None
            os.kill(mortal._child.pid, signal.SIGKILL)
            while "example runs again" not in caplog.messages:
                await asyncio.sleep(0.01)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await mortal.stop()
    first, *tail = caplog.messages
    assert first.startswith("example: sh was killed by signal 9 (Killed). The end of its log ")
    assert [line.strip() for line in tail] == [
        "ready",
        "so far",
        "example is started again in 0.0 s",
        "example runs again",
    ]
    assert starts(tmp_path) == 2


async def test_what_may_leave_and_does_is_not_started_again(tmp_path: Path) -> None:
    await kept(service(tmp_path, "echo ready; exit 0", may_leave=True))
    assert starts(tmp_path) == 1


async def test_exit_code_0_is_an_end_like_any_other_for_what_shall_stay(tmp_path: Path) -> None:
    with pytest.raises(CopilotError, match="exit code 0"):
        await kept(service(tmp_path, "echo ready; exit 0"))


async def test_what_somebody_has_to_mend_first_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    class Unusable(Component):
        async def start(self) -> None:
            tried.append(self)
            raise ConfigError("the port is taken")

    unusable = Unusable("example", [], log=tmp_path, environment={}, ready="")
    with pytest.raises(ConfigError, match="the port is taken"):
        await kept(unusable)
    assert len(tried) == 1
