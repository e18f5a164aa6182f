"""The generic storage manager: takes outputs and settles jobs (report, sections 2.2.2 and 2.2.3).

The order that loses nothing: the output lies under its attempt's name → it is sealed, its size and SHA-256 are
checked → the store's record names it → the finisher takes it to its place → the record says so. `repair` finishes
what stopped between two of these steps. A small output that comes with the report is kept by the store itself in the
meantime. The report is acknowledged when it is in the store; the way to the finisher comes after that.
"""

from __future__ import annotations

import logging
import math
from base64 import b64decode
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from copilot.errors import StoreUnavailable, TransferError
from copilot.job import EventKind, JobRecord, Outcome, Output, State, alias, split_alias
from copilot.log import JobRef, PeerRef, in_words, level_of, rate_limited
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
from copilot.records import dataclass
from copilot.runtime.component import Actions, Event, Leave, Online, Refuse, Send, Stopping, Tick
from copilot.runtime.counts import FOREIGN, JobCounts
from copilot.storagemanager.report import as_announced, facts_of, outcome_of, outcome_of_2011, unpacked
from copilot.store.base import Settled, Store, Verdict

log = logging.getLogger("copilot.storagemanager")

REPAIR_EVERY = 60.0  # s
STORE_RETRY = 5.0  # s after which a result is looked for again whose way the store did not see to its end
REPAIRED_AT_ONCE = 100  # results
PUBLISHED_AT_ONCE = 64  # results on their way to the finisher
MOST_SETTLED = 1000  # results that wait for that here; the others are found in the store


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an attempt is to put its output: `url`, or `<name>/<name>.tgz` on the Chirp server `chirp` (host:port).

    `name` is `copilot.job.alias` of the attempt. `url` is None where files travel by Chirp alone, `chirp` is empty
    where there is no Chirp server; agents of 2011 know nothing but the latter.
    """

    url: str | None = None
    chirp: str = ""


class Outputs(Protocol):
    """Where outputs go. All methods may take long, are safe to repeat, and raise `TransferError` or OSError."""

    async def prepare(self, job: str, attempt: int) -> Place:
        """Make room for the output of an attempt, and let its agent write there."""
        ...

    async def seal(self, job: str, attempt: int) -> Output | None:
        """Take the right to write back, then say what lies there: size and hash, or None for nothing.

        From now on nobody can change what was found, until `prepare` makes room once more.
        """
        ...

    async def publish(self, record: JobRecord, package: bytes | None = None) -> None:
        """Hand the output of the settled job's last attempt to its finisher, and drop the rest of that attempt.

        `package` is that output, if it came with the report: then nothing else is there of the attempt.
        """
        ...

    async def discard(self, job: str, attempt: int) -> None:
        """Take the right to write back and drop what an attempt has left."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settled:
    """A job that is over; its output, if that came with the report. `found`: in the store, where the output may be."""

    record: JobRecord
    package: bytes | None
    found: bool = False


class StorageManager:
    """Answers `want_getJobOutputDir`, `getJobOutputDir` and `jobDone`."""

    def __init__(
        self,
        store: Store,
        claims: Claims,
        outputs: Outputs,
        *,
        random: Callable[[], float],
        counts: JobCounts | None = None,
    ) -> None:
        """What is done is counted in `counts`."""
        self._store = store
        self._claims = claims
        self._outputs = outputs
        self._random = random
        self._counts = counts or JobCounts()
        self._next_repair: float | None = None
        self._settled: deque[_Settled] = deque()  # just now, and not on their way to the finisher yet
        self._on_their_way = 0
        self._ours: set[str] = set()  # jobs that are in either
        self._more = False  # the store may have results that were too many for us
        self._worked = False  # what was found there could be published, or nobody has tried

    def wakeup(self) -> float | None:
        """When something is to be published, or unfinished publications are to be looked for."""
        return 0.0 if self._may_publish() or self._may_go_on() else self._next_repair

    def _may_publish(self) -> bool:
        return bool(self._settled) and self._on_their_way < PUBLISHED_AT_ONCE

    def _may_go_on(self) -> bool:
        """Whether it makes sense to look for more in the store: there is some, nothing waits here, and it works."""
        return self._more and self._worked and not self._settled

    def handle(self, event: Event, now: float) -> Actions | Awaitable[Actions]:
        """As `Component.handle`."""
        match event:
            case Received(command=WantGetJobOutputDir() as want):
                job = None if event.features is None else want.job_id
                return [Send(to=event.sender, command=HaveGetJobOutputDir(job_id=job))]  # (2.2.2.2)
            case Received(command=GetJobOutputDir() as request):
                return self._directory(event, request)
            case Received(command=JobDone() as report):
                return self._settle(event, report)
            case Online() if self._next_repair is None:
                self._next_repair = now
            case Tick() if self._may_publish():
                return self._publish_one(self._settled.popleft(), now)
            case Tick() if self._may_go_on() or (self._next_repair is not None and self._next_repair <= now):
                self._next_repair = now + REPAIR_EVERY * (0.5 + self._random())
                self._more = self._worked = False  # now: there may be another tick before this one is at work
                return self.repair()
            case Stopping():
                return self._end()
        return []

    async def _end(self) -> Actions:
        """What is settled gets to its place before we go; what does not, by another instance or our next start."""
        last, self._settled, self._more = self._settled, deque(), False
        try:
            for settled in last:
                await self._publish(settled)
        except StoreUnavailable as error:
            log.warning(
                "some results are not at their place yet; the next start goes on with that: %s", error
            )
        return [Leave()]

    def _publish_one(self, settled: _Settled, now: float) -> Awaitable[Actions]:
        self._on_their_way += 1

        async def publish() -> Actions:
            try:
                await self._publish(settled)
            except StoreUnavailable:
                self._next_repair = min(self._next_repair or math.inf, now + STORE_RETRY)
                raise
            finally:
                self._on_their_way -= 1
                self._ours.discard(settled.record.spec.id)
            return []

        return publish()

    async def repair(self) -> Actions:
        """Bring the results of settled jobs to their finisher, those that nobody reported included: they wait here as
        if they had just been reported. While that works, the next ones follow when these are on their way."""
        records = await self._store.unpublished(REPAIRED_AT_ONCE)
        for record in records:
            if record.spec.id not in self._ours:
                self._publish_soon(_Settled(record=record, package=None, found=True))
        self._more |= len(records) == REPAIRED_AT_ONCE
        return []

    async def _directory(self, received: Received, request: GetJobOutputDir) -> Actions:
        """`storeJobOutputDir` (2.2.2.4): a directory of this attempt's own."""
        try:
            claim = self._claim(received, request.job_id, request.jm_job_data)
        except ClaimRefused as error:
            return [_refuse(received, error, request.job_id)]
        fenced = _fenced(await self._store.get(claim.job), claim)
        if fenced is not None and received.features is not None:
            self._counts.reports_fenced[fenced] += 1
            return [_stale(received, claim)]
        # An agent of 2011 takes no refusal and would wait for ever: it may bring what nobody wants, and is rid of it.
        place = await self._outputs.prepare(claim.job, claim.attempt)
        answer = StoreJobOutputDir(
            job_id=request.job_id,
            output_dir=alias(claim.job, claim.attempt),
            output_chirp_url=place.chirp,
            output_url=None if received.features is None else place.url,
        )
        return [Send(to=received.sender, command=answer)]

    async def _settle(self, received: Received, report: JobDone) -> Actions:
        """`jobDone` (2.2.3.1): check and settle; acknowledged when it is in the store, published after that."""
        try:
            claim = self._claim(received, report.job_id, report.jm_job_data)
        except ClaimRefused as error:
            return [_refuse(received, error, report.job_id)]
        output, package = await self._found(received, report, claim)
        if received.features is None:
            outcome = outcome_of_2011(report, output)
        elif as_announced(report, output):
            outcome = outcome_of(report, output)
        else:
            return [_mismatch(received, report.job_id)]
        kept = None if package is None else report.package
        settled = await self._store.finish(claim.job, claim.attempt, outcome, package=kept)
        self._counts.reported(settled.events, claim.started)
        if settled.verdict is not Verdict.ACCEPTED:
            self._counts.reports_fenced[settled.verdict] += 1
        _tell(claim, received.sender, outcome, settled)
        if settled.record is not None:
            cancelled = settled.record.outcome is None or settled.record.outcome.output is None
            self._publish_soon(_Settled(record=settled.record, package=None if cancelled else package))
        elif package is None and (settled.verdict is not Verdict.REPEATED or settled.state is State.WAITING):
            await self._discard(claim)
        return []

    def _publish_soon(self, settled: _Settled) -> None:
        if len(self._settled) < MOST_SETTLED:
            self._ours.add(settled.record.spec.id)
            self._settled.append(settled)
        else:
            self._more = self._worked = True

    async def _found(
        self, received: Received, report: JobDone, claim: Claim
    ) -> tuple[Output | None, bytes | None]:
        """The output of an attempt, and its contents if they came with the report."""
        if received.features is None:
            return await self._stored(claim), None
        if report.package is not None:
            package = unpacked(report.package)
            return None if package is None else facts_of(package), package
        return None if report.output_size is None else await self._stored(claim), None

    async def _stored(self, claim: Claim) -> Output | None:
        """What lies there for good, or lay there: a copy of a report may come when its output has moved on."""
        found = await self._outputs.seal(claim.job, claim.attempt)
        if found is not None:
            return found
        record = await self._store.get(claim.job)
        if record is None or record.attempt != claim.attempt or record.outcome is None:
            return None
        return record.outcome.output

    async def _publish(self, settled: _Settled) -> None:
        """To its finisher; what goes wrong here goes on in `repair`, the job is settled all the same."""
        record, package = settled.record, settled.package
        if settled.found:
            kept = await self._store.package(record.spec.id)
            package = None if kept is None else b64decode(kept)
        try:
            await self._outputs.publish(record, package)
        except (TransferError, OSError) as error:
            text, job = "%s: its result could not be brought to its place yet: %s", _ref(record)
            rate_limited(log, "publish", logging.ERROR, text, job, error)
            return
        await self._store.publish(record.spec.id)
        self._worked |= settled.found

    async def _discard(self, claim: Claim) -> None:
        try:
            await self._outputs.discard(claim.job, claim.attempt)
        except (TransferError, OSError) as error:
            text, job = "%s: its output could not be dropped: %s", JobRef(claim.job, claim.attempt)
            rate_limited(log, "discard", logging.WARNING, text, job, error)

    def _claim(self, received: Received, named: str, text: str | None) -> Claim:
        """The claim of the sender on the job that it names: by its id, or by the alias that an agent of 2011 got."""
        job, _ = split_alias(named)
        try:
            claim = self._claims.check(text, job=job, agent=bare(received.sender))
            if named not in (job, alias(job, claim.attempt)):
                raise ClaimRefused(f"jmJobData: this claim is on attempt {claim.attempt}, not on {named!r}")
        except ClaimRefused:
            self._counts.reports_fenced[FOREIGN] += 1
            raise
        return claim


def _tell(claim: Claim, sender: str, outcome: Outcome, settled: Settled) -> None:
    """The one line of a report, and what else it has brought about."""
    job, agent = JobRef(claim.job, claim.attempt), PeerRef(sender)
    if settled.verdict is not Verdict.ACCEPTED:
        log.info(
            "%s: report of %s %s: the job is %s", job, agent, settled.verdict, settled.state or "unknown"
        )
        return
    ran = None if settled.record is None else _seconds(settled.record)
    words = in_words(outcome, ran)
    log.log(level_of(outcome), "%s: %s (%s, at %s)", job, settled.state, words, agent)
    for event in settled.events:
        if event.kind is EventKind.QUARANTINED:
            log.warning("agent %s: quarantined: %s", PeerRef(event.agent), event.text)


def _seconds(record: JobRecord) -> float | None:
    """From the claim of the last attempt to its report."""
    if record.claimed is None or record.finished is None:
        return None
    return record.finished - record.claimed


def _ref(record: JobRecord) -> JobRef:
    return JobRef(record.spec.id, record.attempt)


def _fenced(record: JobRecord | None, claim: Claim) -> Verdict | None:
    """What would become of a report on this attempt: None if it would count."""
    if record is None:
        return Verdict.UNKNOWN
    if record.attempt != claim.attempt:
        return Verdict.STALE
    return Verdict.REPEATED if record.state.final else None


def _refuse(received: Received, error: ClaimRefused, job: str) -> Refuse:
    return Refuse(received=received, code="claim-refused", text=str(error), job=job)


def _stale(received: Received, claim: Claim) -> Refuse:
    text = f"attempt {claim.attempt} of job {claim.job} does not hold the job any more: drop its output"
    return Refuse(received=received, code="stale-attempt", text=text, job=claim.job)


def _mismatch(received: Received, job: str) -> Refuse:
    text = "the stored output is not what was announced: ask for a directory again and upload once more"
    return Refuse(received=received, code="output-mismatch", text=text, job=job)
