"""The generic source: jobs that operators' tools of 2011 put on lists in Redis (protocol page, section 2).

A job is moved from its list to the queue inside Redis, with each step atomic (`copilot.store.lists`): a crash between two
steps costs nothing but the time until somebody sweeps `<list>:taking`. Of its files only the directory that an agent of
2011 would write to is moved (decision 8).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from copilot.clock import Clock, SystemClock
from copilot.errors import BadName, ConfigError
from copilot.grid import oldjob
from copilot.grid.base import Context, Intake
from copilot.job import JobSpec, alias, one_line, split_alias
from copilot.log import JobRef, rate_limited
from copilot.store.keys import OLD_LISTS, old_description, old_rejected
from copilot.store.lists import Adoption, OldList
from copilot.store.redis import RedisStore

log = logging.getLogger("copilot.grid")

SWEEP_EVERY = 60.0  # s
# s; a tool may push the id before it writes the description
DESCRIPTION_GRACE = 2.0

Parse = Callable[[str, bytes], JobSpec]


def make(context: Context) -> OldJobs:
    """The entry point `generic`. Raises `ConfigError` for a queue that is not in Redis."""
    if not isinstance(context.store, RedisStore):
        raise ConfigError(f"the source {context.name!r} reads lists in Redis: it needs a queue in Redis, too")
    config = context.manager
    names = OLD_LISTS if config.waiting_jobs_list is None else (config.waiting_jobs_list,)
    port, server = config.chirp_port, ""
    if config.chirp_server is not None:
        server = f"{config.chirp_server}:{port}"

    def parse(job: str, description: bytes) -> JobSpec:
        return oldjob.parse(job, description, server=server, port=port)

    return OldJobs([OldList(context.store, name) for name in names], parse, SystemClock())


class OldJobs:
    """Takes the jobs of some lists over; implements `copilot.grid.base.JobSource`."""

    def __init__(self, lists: Sequence[OldList], parse: Parse, clock: Clock) -> None:
        """`parse(id, description)` says what the job is, or raises `BadName`."""
        self._lists = lists
        self._parse = parse
        self._clock = clock

    async def run(self, intake: Intake) -> None:
        """Until cancelled, or until Redis cannot be reached."""
        try:
            async with asyncio.TaskGroup() as group:
                for one in self._lists:
                    group.create_task(self._feed(one, intake))
        except BaseExceptionGroup as failures:  # the first one ended the others
            raise failures.exceptions[0] from failures

    async def _feed(self, one: OldList, intake: Intake) -> None:
        sweep_at = self._clock.monotonic()
        while True:
            wait = sweep_at - self._clock.monotonic()
            if wait <= 0:
                for ident in await one.taken():
                    await self._settle(one, intake, ident)
                wait = SWEEP_EVERY
                sweep_at = self._clock.monotonic() + wait
            new = await one.take(wait)
            if new is not None and not await self._settle(one, intake, new, fresh=True):
                sweep_at = min(sweep_at, self._clock.monotonic() + DESCRIPTION_GRACE)

    async def _settle(self, one: OldList, intake: Intake, ident: bytes, *, fresh: bool = False) -> bool:
        """Adopt or reject an id; False, with nothing done, if it is `fresh` and may still get its description."""
        job = ident.decode(errors="backslashreplace")
        try:
            adoption = await self._adopt(one, intake, job)
        except (BadName, ValueError) as error:
            await _reject(one, ident, str(error))
            return True
        match adoption:
            case Adoption.MISSING if fresh:
                return False
            case Adoption.MISSING:
                await _reject(one, ident, f"job {job}: there is no {old_description(job)}, and no such job")
            case Adoption.TAKEN:
                await _reject(one, ident, f"job {job}: another job has this id: choose another one")
            case Adoption.KNOWN:
                log.info("%s on the list %s is known already", JobRef(job), one.name)
            case _:
                log.info("%s: taken over from the list %s", JobRef(job), one.name)
        return True

    async def _adopt(self, one: OldList, intake: Intake, job: str) -> Adoption:
        adoption = Adoption.CHANGED
        while adoption is Adoption.CHANGED:
            description = await one.description(job)
            if description is None:
                adoption = await one.forget(job)
            else:
                spec = await _out_of_reach(intake, self._parse(job, description))
                adoption = await one.adopt(job, description, spec)
        return adoption


async def _out_of_reach(intake: Intake, spec: JobSpec) -> JobSpec:
    """The job with its inputs where no attempt of it writes to. Tools of 2011 put them into `<job>`, where an agent of
    2011 puts its output in the first attempt."""
    first, _, rest = (spec.input_dir or "").strip("/").partition("/")
    if first != spec.id:
        if split_alias(first)[0] == spec.id and split_alias(first)[1] > 1:
            raise BadName(
                f"job {spec.id}: its inputs lie in {first!r}, where an attempt of it writes: move them"
            )
        return spec
    if not await intake.adopt(spec.id):
        return spec
    return replace(spec, input_dir=f"/{alias(spec.id, 0)}/{rest}" if rest else None, chirp_server=None)


async def _reject(one: OldList, ident: bytes, reason: str) -> None:
    if await one.reject(ident):
        aside = old_rejected(one.name)
        job = JobRef(ident.decode(errors="backslashreplace"))
        text = "%s: refused from the list %s, its id is in %s now: %s"
        rate_limited(log, one.name, logging.ERROR, text, job, one.name, aside, one_line(reason))
