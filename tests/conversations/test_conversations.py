"""Each file in our-agent/ and our-manager/ is one conversation, played on a real Prosody (README.md)."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from copilot.errors import CopilotError
from copilot.local.chirp import Chirp
from copilot.local.prosody import Prosody
from tests.conftest import Account
from tests.conversations.script import read
from tests.conversations.stage import Servers, Stage, own_chirp, staged
from tests.conversations.steps import play

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("our-*/*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
async def test_the_conversation_goes_as_written(
    path: Path,
    prosody: Prosody,
    redis_url: str,
    chirp_server: Chirp,  # only to skip where there is none
    account: Callable[[str], Awaitable[Account]],
    open_directory: Path,
) -> None:
    title, steps = read(path)
    async with own_chirp(open_directory / "chirp") as chirp:
        servers = Servers(prosody=prosody, chirp=chirp, redis=redis_url, account=account)
        async with staged(open_directory, servers, Random(title)) as stage:
            for step in steps:
                with told(f"{path.parent.name}/{path.name}:{step.number}: {step.line}", stage):
                    await play(stage, step)
            with told(f"{path.parent.name}/{path.name}: at the end", stage):
                await end(stage)


async def end(stage: Stage) -> None:
    """Our programs leave in order, and nothing came that the file does not tell of."""
    for program in stage.ours.values():
        await program.stop()
    for name, peer in stage.peers.items():
        await peer.all_here()
        assert not peer.left(), f"{name} has got, too: {peer.left()}"


@contextlib.contextmanager
def told(where: str, stage: Stage) -> Iterator[None]:
    """What goes wrong is told by the line of the conversation and the logs of our programs, not by our own code."""
    try:
        yield
    except (AssertionError, CopilotError) as error:
        logs = [f"--- log of {name}\n{program.log.read_text()}" for name, program in stage.ours.items()]
        raise pytest.fail.Exception("\n".join([where, str(error), *logs]), pytrace=False) from None
