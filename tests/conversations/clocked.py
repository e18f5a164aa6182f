"""Runs one of our commands with a clock that is moved from outside: `python clocked.py MODULE ARGUMENT ...`.

Each line on stdin is a number of seconds that are to have passed all at once; its end asks the program to leave.
The program's own clock moves and, in its eyes, that of Redis; what the XMPP session and a payload go by stays.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
import time
from typing import Any

from copilot.clock import SystemClock
from copilot.runtime import loop as runtime

MOVED = "The clock is {:g} s ahead."

_ahead = 0.0


class MovedClock(SystemClock):
    """The machine's clock, but ahead of it by what stdin has said."""

    def monotonic(self) -> float:
        return super().monotonic() + _ahead


class MovedLoop(runtime.Loop):
    """The components' loop, told when its clock has moved."""

    async def run(self, *arguments: Any) -> int:
        asyncio.get_running_loop().add_reader(sys.stdin, self._move)
        return await super().run(*arguments)

    def _move(self) -> None:
        global _ahead  # noqa: PLW0603 - the clock is the program's
        if line := os.read(sys.stdin.fileno(), 64):
            _ahead += sum(map(float, line.split()))
            sys.stdout.write(f"{MOVED.format(_ahead)}\n")
            sys.stdout.flush()
            self._stir.set()
        else:
            asyncio.get_running_loop().remove_reader(sys.stdin)
            os.kill(os.getpid(), signal.SIGTERM)


def move_redis() -> None:
    """Only for programs that know Redis: an agent loads none of it."""
    from copilot.store import redis

    class MovedStore(redis.RedisStore):
        """Tells Redis the time once that has moved."""

        async def _run(self, name: str, now: float | None, *arguments: Any) -> Any:
            return await super()._run(name, now or (time.time() + _ahead if _ahead else None), *arguments)

    vars(redis)["RedisStore"] = MovedStore


if __name__ == "__main__":
    vars(runtime).update(SystemClock=MovedClock, Loop=MovedLoop)
    if "manager" in sys.argv[1]:
        move_redis()
    sys.exit(importlib.import_module(sys.argv[1]).main(sys.argv[2:]))
