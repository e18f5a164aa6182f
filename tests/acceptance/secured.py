"""The embedded system, with managers that hear and say nothing in clear: `python -m tests.acceptance.secured DIR ADDRESS`.

A program of its own, because it may have to run in another network name space than the test."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from copilot.runtime.signals import on_stop
from tests.acceptance.running import VariedSystem


class SecuredSystem(VariedSystem):
    """Secure mode on, no agents, no monitor."""

    more = (("JM_SECURE_MODE", "1"), ("SM_SECURE_MODE", "1"))


async def main(directory: Path, listen: str) -> None:
    """Until somebody stops it."""
    asked = asyncio.Event()
    with on_stop(asked.set):
        async with SecuredSystem(directory, listen=listen, agents=0).running():
            sys.stdout.write("Running.\n")
            sys.stdout.flush()
            await asked.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
