"""A campaign: honest jobs go in the whole time while one attack follows the other; then somebody looks at what is left."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable

from tests.attack.attacks import ATTACKS, Attack
from tests.attack.ground import AGENTS, Ground
from tests.attack.honest import Honest
from tests.attack.plan import Phase, Plan, Result, Tried
from tests.attack.shapes import CANARY

MB = 1024 * 1024
MOST_GROWTH = 96 * MB  # that a program may have more at the end than at the begin
MORE_GROWTH = {
    "prosody": 256 * MB,  # it collects garbage when there is as much again
    "fileserver": 224 * MB,  # half of `JM_FILES_CONNECTIONS`, which are all that one address can have
}
MOST_LINES = 700  # a minute in one log, besides those about honest jobs: 600 that are limited, and a few
LINES_A_JOB = 4
USUAL = "wrong-role"  # each manager of an account hears what is for the other one, from everybody
BREATH_S = 1.0  # between two attacks
HONEST, EVIL = "honest-", "evil-"  # ids of jobs that were submitted
AGENTS_OURS = tuple(f"agent-{number}@" for number in range(1, AGENTS + 1))


async def run(plan: Plan, ground: Ground, say: Callable[[str], None]) -> Result:
    """The whole campaign."""
    result, honest, began = Result(plan=plan), Honest(ground), time.monotonic()
    pids, result.before = ground.system.pids(), ground.memory()
    lines = ground.log_lines()
    for name, attack in (("before", _rest), *ATTACKS, ("after", _rest)):
        seconds = plan.calm if attack is _rest else plan.flood if name.startswith("malformed") else plan.each
        await _phase(name, attack, seconds, ground, honest, result)
        done = result.phases[-1]
        say(f"{done.name}: {done.tried.count} in {done.seconds:.1f} s")
    result.wrong += await honest.settle()
    result.seconds = time.monotonic() - began
    result.honest = len(ground.jobs)
    result.after = ground.memory()
    result.log_lines = {name: count - lines.get(name, 0) for name, count in ground.log_lines().items()}
    result.wrong += await _look(ground, result, pids)
    return result


async def _rest(_: Ground, seconds: float) -> Tried:
    await asyncio.sleep(seconds)
    return Tried()


async def _phase(
    name: str, attack: Attack, seconds: float, ground: Ground, honest: Honest, result: Result
) -> None:
    phase = Phase(name=name, seconds=seconds, tried=Tried(), refused=Counter(), busy={})
    result.phases.append(phase)
    counted, reached = await ground.refused(), await ground.reached()
    used, began = ground.used(), time.monotonic()
    honest.phase = phase
    async with honest.at_work():
        phase.tried = await attack(ground, seconds)
    phase.seconds = time.monotonic() - began
    phase.reached = (await ground.reached() - reached) / phase.seconds
    phase.busy = {
        program: (now - used.get(program, 0.0)) / phase.seconds for program, now in ground.used().items()
    }
    await asyncio.sleep(min(BREATH_S, seconds / 2))
    phase.refused = await ground.refused() - counted
    del phase.refused[USUAL]


async def _look(ground: Ground, result: Result, pids: dict[str, int]) -> list[str]:
    """What is not as it should be."""
    wrong = [
        f"{program} has ended and was started again"
        for program, pid in ground.system.pids().items()
        if pids.get(program) != pid
    ]
    wrong += _grown(result)
    for place, directories, files in os.walk(ground.root.parent):
        wrong += [f"{place}/{name} is there" for name in (*directories, *files) if CANARY in name]
    wrong += await _moved(ground)
    unserved = [phase.name for phase in result.phases if not phase.starts]
    return [*wrong, *(f"no honest job was served during: {name}" for name in unserved)]


def _grown(result: Result) -> list[str]:
    """Memory and logs."""
    allowed = MOST_LINES * (1 + result.seconds / 60) + LINES_A_JOB * result.honest
    grown = [
        f"{program} grew from {result.before[program]} to {after} bytes"
        for program, after in result.after.items()
        if after - result.before.get(program, after) > MORE_GROWTH.get(program, MOST_GROWTH)
    ]
    long = [
        f"the log of {program} has {lines} lines more; at most {allowed:.0f} were expected"
        for program, lines in result.log_lines.items()
        if lines > allowed
    ]
    return grown + long


async def _moved(ground: Ground) -> list[str]:
    """Jobs that nobody has submitted, and honest ones in other hands."""
    wrong, after = [], "0"
    while events := await ground.store.events(after=after, count=1000):
        after = events[-1].id
        for event in events:
            if event.job and not event.job.startswith((HONEST, EVIL)):
                wrong.append(f"the queue knows of a job {event.job[:60]!r}")
            if event.job.startswith(HONEST) and event.agent and not event.agent.startswith(AGENTS_OURS):
                wrong.append(f"{event.agent} had to do with {event.job}: {event.kind}")
    return wrong
