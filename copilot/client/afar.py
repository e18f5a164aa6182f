"""Access to the system from afar, by XMPP, with an account of one's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from copilot.client.operating import Answer, Verb, answer
from copilot.client.remote import Remote, Submitted, described
from copilot.client.result import Result, of_state
from copilot.client.secrets import Keys
from copilot.client.submission import AT_ONCE, Submission
from copilot.client.tailing import Look, from_afar
from copilot.errors import RemoteRefused, UnknownJob
from copilot.job import Event, State
from copilot.protocol.commands import HaveJobState
from copilot.store.base import Changed
from copilot.store.watched import Stream

MOST_AT_ONCE = min(
    AT_ONCE, 16
)  # jobs that are being submitted: no more than the manager lets one account have open


class RemoteAccess:
    """Implements `copilot.client.access.Access` over a session. Belongs to one event loop."""

    def __init__(self, remote: Remote, *, project: str = "", keys: Keys | None = None) -> None:
        """`project`: for whose work jobs are that do not say it. `keys`: for whom secrets are sealed."""
        self._remote = remote
        self._project = project
        self.with_secrets = (keys or Keys()).with_secrets
        self._told: dict[str, HaveJobState] = {}  # of jobs that were just submitted: news of them will come

    async def submit(self, submissions: Sequence[Submission]) -> None:
        """See the port."""
        submitted = await submit_from_afar(self._remote, submissions, project=self._project, watch=True)
        self._told |= {one.state.job_id: one.state for one in submitted}

    async def look(self, job: str) -> Result:
        """See the port."""
        return of_state(await self._remote.state(job))

    async def ended(self, job: str, begun: Callable[[], None] = lambda: None) -> Result:
        """See the port."""
        async with aclosing(self._remote.follow(job, self._told.pop(job, None))) as states:
            async for state in states:
                if state.state == State.RUNNING:
                    begun()
                result = of_state(state)
                if result.ended and (state.published or result.output is None):
                    return result
        raise UnknownJob(
            f"nothing more is told of job {job}"
        )  # pragma: no cover  # `follow` ends with the job

    async def cancel(self, job: str, reason: str) -> Answer:
        """See the port."""
        try:
            said = await self._remote.stop(job, reason)
        except UnknownJob as error:
            return Answer(job=job, ok=False, changed=False, state=None, text=str(error))
        return answer(Verb.CANCEL, job, Changed(changed=bool(said.changed), state=State(said.state)))

    async def fetch(self, job: str, path: Path) -> bool:
        """See the port."""
        return await self._remote.fetch(job, path) is not None

    def reading(self, job: str, stream: Stream) -> Look:
        """See the port."""
        return from_afar(self._remote, job, stream)

    def events(self, after: str) -> AsyncIterator[Event]:
        """See the port."""
        raise RemoteRefused(
            "not-from-afar", f"events after {after}: only who reaches the queue itself reads its events"
        )


async def submit_from_afar(
    remote: Remote, submissions: Sequence[Submission], *, project: str, watch: bool
) -> list[Submitted]:
    """Submit them all, in their order, not more at once than the manager lets one account have open. `project`: for whose work
    those are that do not say it; `watch`: their ends will be waited for.

    Raises as `Remote.submit`, for the first that fails; the very same call once more takes up the rest.
    """
    gate = asyncio.Semaphore(MOST_AT_ONCE)

    async def one(submission: Submission) -> Submitted:
        async with gate:
            job, files = await described(
                replace(submission, project=submission.project or project), watch=watch
            )
            return await remote.submit(job, files)

    tasks = [asyncio.ensure_future(one(submission)) for submission in submissions]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
