"""The generic storage manager: takes outputs and settles jobs (report, sections 2.2.2 and 2.2.3).

The order that loses nothing: the output lies under its attempt's name → its size and SHA-256 are checked → the
store's record names it → it moves to its final place → the record says so. `repair` finishes what stopped
between two of these steps.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from copilot.errors import TransferError
from copilot.job import Cause, JobRecord, Outcome, Output, State, one_line
from copilot.protocol.claim import Claim, ClaimRefused, Claims
from copilot.protocol.commands import (
    GetJobOutputDir,
    HaveGetJobOutputDir,
    JobDone,
    StoreJobOutputDir,
    WantGetJobOutputDir,
)
from copilot.protocol.envelope import bare
from copilot.protocol.events import Received
from copilot.runtime.component import Actions, Event, Leave, Online, Refuse, Send, Stopping, Tick
from copilot.store.base import Store, Verdict

log = logging.getLogger("copilot.storagemanager")

REPAIR_EVERY = 60.0  # s


class Outputs(Protocol):
    """The file area, as far as outputs go. All methods may take long and are safe to repeat."""

    async def prepare(self, job: str, attempt: int) -> str | None:
        """Make room for the output of an attempt; returns the URL to which it is to be put (None: by Chirp)."""
        ...

    async def facts(self, job: str, attempt: int) -> Output | None:
        """Size and hash of what lies there, or None."""
        ...

    async def publish(self, job: str, attempt: int) -> None:
        """Move it to its final place."""
        ...

    async def discard(self, job: str, attempt: int) -> None:
        """Drop what an attempt has left."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageManagerSettings:
    """What the storage manager's logic needs of the configuration."""

    address: str = ""  # host:port of the Chirp server, for agents that speak Chirp


class StorageManager:
    """Answers `want_getJobOutputDir`, `getJobOutputDir` and `jobDone`."""

    def __init__(
        self,
        store: Store,
        claims: Claims,
        outputs: Outputs,
        settings: StorageManagerSettings,
        *,
        random: Callable[[], float],
    ) -> None:
        self._store = store
        self._claims = claims
        self._outputs = outputs
        self._settings = settings
        self._random = random
        self._next_repair: float | None = None

    def wakeup(self) -> float | None:
        """When unfinished publications are to be looked for."""
        return self._next_repair

    def handle(self, event: Event, now: float) -> Actions | Awaitable[Actions]:
        """As `Component.handle`."""
        match event:
            case Received(command=WantGetJobOutputDir() as want):
                return [Send(to=event.sender, command=HaveGetJobOutputDir(job_id=want.job_id))]  # (2.2.2.2)
            case Received(command=GetJobOutputDir() as request):
                return self._directory(event, request)
            case Received(command=JobDone() as report):
                return self._settle(event, report)
            case Online() if self._next_repair is None:
                self._next_repair = now
            case Tick() if self._next_repair is not None and self._next_repair <= now:
                self._next_repair = now + REPAIR_EVERY * (0.5 + self._random())
                return self.repair()
            case Stopping():
                return [Leave()]
        return []

    async def repair(self) -> Actions:
        """Bring settled jobs whose output is not in its place to their end."""
        for record in await self._store.unpublished():
            await self._publish(record.spec.id, record.attempt)
        return []

    async def _directory(self, received: Received, request: GetJobOutputDir) -> Actions:
        """`storeJobOutputDir` (2.2.2.4): a directory of this attempt's own."""
        try:
            claim = self._claim(received, request.job_id, request.jm_job_data)
        except ClaimRefused as error:
            return [_refuse(received, error, request.job_id)]
        record = await self._store.get(claim.job)
        if record is None or record.attempt != claim.attempt or record.state.final:
            return [_stale(received, claim)]
        url = await self._outputs.prepare(claim.job, claim.attempt)
        answer = StoreJobOutputDir(
            job_id=request.job_id,
            output_dir=request.job_id,
            output_chirp_url=self._settings.address,
            output_url=url,
        )
        return [Send(to=received.sender, command=answer)]

    async def _settle(self, received: Received, report: JobDone) -> Actions:
        """`jobDone` (2.2.3.1): check, settle, publish; acknowledged when it is in the store."""
        try:
            claim = self._claim(received, report.job_id, report.jm_job_data)
        except ClaimRefused as error:
            return [_refuse(received, error, report.job_id)]
        output = await self._stored(claim, report)
        if not _as_announced(report, output):
            text = (
                "the stored output is not what was announced: ask for a directory again and upload once more"
            )
            return [Refuse(received=received, code="output-mismatch", text=text, job=report.job_id)]
        settled = await self._store.finish(claim.job, claim.attempt, _outcome(report, output))
        log.info(
            "job %s, attempt %d: report %s, now %s", claim.job, claim.attempt, settled.verdict, settled.state
        )
        if settled.verdict is Verdict.ACCEPTED and settled.state is not None and settled.state.final:
            if output is not None:
                await self._publish(claim.job, claim.attempt)
        elif settled.verdict is not Verdict.REPEATED or settled.state is State.WAITING:
            await self._discard(claim)
        return []

    async def _stored(self, claim: Claim, report: JobDone) -> Output | None:
        if report.output_size is None:
            return None
        found = await self._outputs.facts(claim.job, claim.attempt)
        return found or await self._published(claim)

    async def _published(self, claim: Claim) -> Output | None:
        """A copy of a report whose output has moved on already: the record knows what it was."""
        record: JobRecord | None = await self._store.get(claim.job)
        if record is None or record.attempt != claim.attempt or record.outcome is None:
            return None
        return record.outcome.output

    async def _publish(self, job: str, attempt: int) -> None:
        """To the final place; what goes wrong here goes on in `repair`, the job is settled all the same."""
        try:
            await self._outputs.publish(job, attempt)
        except (TransferError, OSError) as error:
            log.error("job %s: its output could not be moved to its place yet: %s", job, error)
            return
        await self._store.publish(job)

    async def _discard(self, claim: Claim) -> None:
        try:
            await self._outputs.discard(claim.job, claim.attempt)
        except (TransferError, OSError) as error:
            log.warning(
                "job %s, attempt %d: its output could not be dropped: %s", claim.job, claim.attempt, error
            )

    def _claim(self, received: Received, job: str, text: str | None) -> Claim:
        return self._claims.check(text, job=job, agent=bare(received.sender))


def _refuse(received: Received, error: ClaimRefused, job: str) -> Refuse:
    return Refuse(received=received, code="claim-refused", text=str(error), job=job)


def _stale(received: Received, claim: Claim) -> Refuse:
    text = f"attempt {claim.attempt} of job {claim.job} does not hold the job any more: drop its output"
    return Refuse(received=received, code="stale-attempt", text=text, job=claim.job)


def _as_announced(report: JobDone, output: Output | None) -> bool:
    if report.output_size is None:
        return output is None
    return output == Output(size=report.output_size, sha256=report.output_sha256 or "")


def _outcome(report: JobDone, output: Output | None) -> Outcome:
    return Outcome(
        cause=_cause(report),
        exit_code=report.exit_code,
        reason=one_line(report.reason or ""),
        host=report.agent_host[:255],
        validate_exit_code=report.validate_exit_code,
        output=output,
    )


def _cause(report: JobDone) -> Cause:
    """What the agent named, if we know it and it fits the exit code; else what the codes say."""
    validated = report.validate_exit_code in (None, 0)
    try:
        named = Cause(report.cause) if report.cause is not None else None
    except ValueError:
        named = None
    if named is not None and (named is not Cause.OK or (report.exit_code == 0 and validated)):
        return named
    if report.exit_code != 0:
        return Cause.USER_EXIT
    return Cause.OK if validated else Cause.USER_VALIDATION
