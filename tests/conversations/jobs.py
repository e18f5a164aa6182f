"""Jobs in a conversation: put on the queue, by our command or as tools of 2011 did, and looked up there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from redis.asyncio import Redis

from copilot.local.system import command_path
from tests.conversations.ours import POLL_S
from tests.conversations.peer import LIMIT_S
from tests.conversations.stage import Stage

OF_A_RECORD = ("state", "attempt", "attempts_used", "published")
OF_AN_OUTCOME = ("cause", "exit_code", "validate_exit_code")


async def submit(stage: Stage, job: str, text: str, options: Mapping[str, str]) -> None:
    """By `copilot-job-submit`, with a manager's settings; the command and `validation` are the text of a script."""
    options = {**options, "id": job, "command": str(_script(stage, f"{job}.sh", text))}
    if "validation" in options:
        options["validation"] = str(_script(stage, "check.sh", options["validation"]))
    process = await asyncio.create_subprocess_exec(
        *(command_path("copilot-job-submit"), "--config", next(stage.directory.glob("manager*.conf"))),
        *(word for name, value in options.items() for word in (f"--{name}", value)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


def _script(stage: Stage, name: str, text: str) -> Path:
    path = stage.directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    return path


async def redis(stage: Stage, command: Sequence[str]) -> None:
    """One command to Redis, as operators' old tools give them."""
    async with Redis.from_url(stage.servers.redis) as connection:
        await connection.execute_command(*command)  # type: ignore[no-untyped-call]


async def record(stage: Stage, job: str, values: Mapping[str, str]) -> None:
    """Wait until the queue says this of a job."""
    found: Mapping[str, str] = {}
    try:
        async with asyncio.timeout(LIMIT_S):
            while not values.items() <= found.items():
                await asyncio.sleep(POLL_S)
                found = await _known(stage, job)
    except TimeoutError:
        raise AssertionError(f"not within {LIMIT_S:g} s; found {found}") from None


async def _known(stage: Stage, job: str) -> dict[str, str]:
    found = await stage.store.get(job)
    if found is None:
        return {}
    facts = {name: getattr(found, name) for name in OF_A_RECORD}
    if found.outcome is not None:
        facts |= {name: getattr(found.outcome, name) for name in OF_AN_OUTCOME}
    facts["last"] = next(event.kind for event in reversed(await stage.store.events()) if event.job == job)
    return {name: str(value) for name, value in facts.items()}
