"""The dashboard over a made-up world that moves, to look at: `python -m tests.browser [PORT]`."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from dataclasses import replace

from copilot.job import State
from copilot.monitor.dashboard.server import Dashboard
from tests.browser import world

HOST = "127.0.0.1"


def stirred(board: world.MemoryBoard, dice: random.Random) -> None:
    """One second later."""
    front, moment = board.front, time.time()
    came, went = dice.randrange(40, 80), dice.randrange(30, 60)
    jobs = dict(front.jobs)
    jobs[State.WAITING] = max(0, jobs[State.WAITING] + came - went)
    jobs[State.DONE] += went
    board.front = replace(
        front,
        jobs=jobs,
        rates=replace(front.rates, submitted=float(came), done=float(went), claimed=went + 0.3),
        newest=(*(world._event(moment, place, dice) for place in range(3)), *front.newest)[: world.SHOWN],
    )


async def main(port: int) -> None:
    board, dice = world.board(time.time), random.Random()
    bound = await Dashboard(board).start(HOST, port)
    sys.stdout.write(
        f"http://{HOST}:{bound}/ (a failed job: http://{HOST}:{bound}/#/job/{next(iter(board.views))})\n"
    )
    while True:
        await asyncio.sleep(1)
        stirred(board, dice)


if __name__ == "__main__":
    asyncio.run(main(int((sys.argv[1:] or ["8095"])[0])))
