"""A simulated agent of ours with one slot: `want_getJob` once, then two messages a job (protocol page, section 4).

Its jobs end with a packed output, always the same. It acknowledges, renews, shows up and comes back as
`copilot.agent` does; what that one does with more slots, with files and with failures is left out.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any

from bench.simulated import wire
from bench.simulated.crowd import Agent, Crowd
from bench.simulated.stream import Account, Server
from bench.simulated.wire import encoded, mark, template
from copilot.agent.leases import RENEWALS_A_LEASE
from copilot.agent.search import FIRST_WAIT, SHOW_UP_EVERY
from copilot.host import HostFacts
from copilot.protocol.commands import Command, Error, GetJob, HeldJob, JobDone, RenewLease, WantGetJob
from copilot.protocol.jdl import host_jdl
from copilot.protocol.rules import FEATURES

HOST = "node7.example.org"
ASK_AGAIN_S = 10.0  # if nobody has answered


def jdl() -> str:
    """Of a machine like many."""
    facts = HostFacts(
        hostname=HOST,
        platform="Linux-x86_64",
        uname="6.1.0-28-amd64",
        memory_mb=15_987,
        free_memory_mb=12_044,
        swap_mb=0,
        free_swap_mb=0,
        local_disk_kb=77_342_976,
        cores=1,
    )
    return host_jdl(facts)


def _package() -> bytes:
    """What an agent packs of a job that has said nothing."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in ("stdout", "stderr"):
            archive.addfile(tarfile.TarInfo(f"job-00000/{name}"))
    return packed.getvalue()


PACKAGE = _package()


def _ours(command: Command | None, *, acks: bool = True) -> bytes:
    return template(command, features=tuple(sorted(FEATURES)), acks=acks)


def _job_done(slots: int | None) -> JobDone:
    return JobDone(
        job_id=mark("job"),
        exit_code=0,
        state="done",
        agent_host=HOST,
        jm_job_data=mark("claim"),
        cause="ok",
        output_size=len(PACKAGE),
        output_sha256=hashlib.sha256(PACKAGE).hexdigest(),
        package=b64encode(PACKAGE).decode(),
        slots=slots,
    )


def _held() -> HeldJob:
    values: dict[str, Any] = {"id": mark("job"), "attempt": mark("attempt"), "phase": "run"}
    return HeldJob(**values)


WANT = _ours(WantGetJob(agent_host=HOST, jdl=jdl()), acks=False)
GET = _ours(GetJob(agent_host=HOST, jdl=jdl(), slots=1))
DONE = _ours(_job_done(slots=1))
DONE_AND_NO_MORE = _ours(_job_done(slots=None))
RENEW = _ours(RenewLease(held=(_held(),)), acks=False)
ACKNOWLEDGE = _ours(None)
REFUSE = template(
    Error(error_string="all 1 slots of this agent are taken", code="no-slot", in_reply_to=mark("refused"))
)


@dataclass(frozen=True, slots=True)
class _Held:
    """As on the wire, but for the lease in s. `instance` has given it."""

    instance: bytes
    job: bytes
    claim: bytes
    attempt: bytes
    lease: float


class Ours(Agent):
    """One agent. Its job takes no time or, if it `lasts`, until `end`; while `quiet` it does nothing but log in."""

    def __init__(
        self, crowd: Crowd, server: Server, account: Account, *, lasts: bool = False, quiet: bool = False
    ) -> None:
        super().__init__(crowd, server, account)
        self.lasts = lasts
        self.quiet = quiet
        self.instance: bytes | None = None  # full JID that is asked without further ado
        self.parked = False
        self._asked = False  # `getJob` is out, or a report that asks
        self._owed: dict[bytes, bytes] = {}  # by instance, the `sleep` that it is to be acknowledged
        self._shows_up = 0.0
        self._held: _Held | None = None
        self._renews = 0.0
        self._renewal = b""  # id of the last one
        self._silent = False  # it is not accepted yet: the next one goes to all instances
        self._answers = {
            encoded("runJob"): self._run,
            encoded("have_getJob"): self._offered,
            encoded("sleep"): self._sleep,
            encoded("error"): self._error,
            encoded("leaseLost"): self._lost,
        }

    def online(self) -> None:
        """As `copilot.agent.search` and `leases`: all managers are asked, and all are told what is held."""
        self.instance, self.parked = None, False
        self._owed.clear()
        if self._held is not None:
            self._silent = True
            self._renew_in(self.crowd.random.random())
        elif not self._asked and not self.flight and not self.quiet:
            self._want()

    def begin(self) -> None:
        """Be quiet no more."""
        self.quiet = False
        self._want()

    def end(self) -> None:
        """The job is over."""
        if self._held is not None:
            self._report(self._held)

    @property
    def holds(self) -> bool:
        """Whether it has a job."""
        return self._held is not None

    def shows_up_in(self, seconds: float) -> None:
        """When a parked agent shows next that it is there."""
        due = self._shows_up = self.crowd.now + seconds

        def show_up() -> None:
            if self._shows_up == due and self.parked and self.stream.up:
                self._get()

        self.crowd.later(seconds, show_up)

    def heard(self, head: bytes, body: bytes) -> None:
        """What it acknowledges comes first."""
        acks = wire.ACKS.search(body)
        if acks is not None:
            for ident in acks[1].split():
                self.settled(ident)
        command, ident, sender = wire.COMMAND.search(body), wire.ID.search(head), wire.SENDER.search(head)
        if command is None or ident is None or sender is None:
            return
        self.books.heard[b64decode(command[1]).decode()] += 1
        answer = self._answers.get(command[1])
        if answer is None:
            self.books.errors[f"unexpected {b64decode(command[1]).decode()}"] += 1
        else:
            answer(sender[1], ident[1], body)

    def _want(self) -> None:
        if not self.stream.up or self.quiet or self._asked or self._held is not None:
            return
        ident = self.crowd.new_id()
        self.say("want_getJob", WANT % {b"to": self.manager, b"id": ident})
        wait = ASK_AGAIN_S * (0.5 + 0.5 * self.crowd.random.random())
        self.crowd.later(max(FIRST_WAIT, wait), self._nobody_answered)

    def _nobody_answered(self) -> None:
        if self.instance is None:
            self._want()

    def _offered(self, sender: bytes, ident: bytes, _: bytes) -> None:
        if self._asked or self._held is not None:
            self._acknowledge(sender, ident)
            return
        self.instance = sender
        self._get(ack=ident)

    def _get(self, ack: bytes = b"") -> None:
        assert self.instance is not None
        self._asked, self.parked = True, False
        ident = self.crowd.new_id()
        values = {b"to": self.instance, b"id": ident}
        self.insist("getJob", ident, self._with_acks(GET, self.instance, ack) % values)

    def _with_acks(self, text: bytes, to: bytes, ack: bytes) -> bytes:
        """The template with this acknowledgement, and the one that is owed to that instance."""
        acks = b" ".join(filter(None, (self._owed.pop(to, b""), ack)))
        return text.replace(b"%(ack)s", acks) if acks else text.replace(b" ack='%(ack)s'", b"")

    def _sleep(self, sender: bytes, ident: bytes, body: bytes) -> None:
        """Nothing now; work comes by itself, and the manager is shown at times that we are there. The acknowledgement goes
        with the next message to that instance."""
        self._owed[sender] = ident
        if self._asked:
            self._asked, self.parked = False, True
            after = wire.RETRY_AFTER.search(body)
            seconds = 0.0 if after is None else float(b64decode(after[1]))
            self.shows_up_in(max(FIRST_WAIT, seconds * (1.0 + 0.5 * self.crowd.random.random())))

    def _run(self, sender: bytes, ident: bytes, body: bytes) -> None:
        job, claim = wire.JOB.search(body), wire.CLAIM.search(body)
        attempt, lease = wire.ATTEMPT.search(body), wire.LEASE.search(body)
        assert job is not None
        assert claim is not None
        assert attempt is not None
        assert lease is not None
        if self._held is not None and self._held.claim != claim[1]:
            self.books.refused += 1  # it was asked for while another one was on its way
            self.say(
                "error", REFUSE % {b"to": sender, b"id": self.crowd.new_id(), b"refused": b64encode(ident)}
            )
            return
        if not self.books.give(job[1], claim[1]):
            self._acknowledge(sender, ident)
            return
        self._asked = self.parked = False
        self.instance = sender
        held = self._held = _Held(sender, job[1], claim[1], attempt[1], float(b64decode(lease[1])))
        if self.lasts:
            self._acknowledge(sender, ident)
            self._silent = False
            self._renew_in(held.lease / RENEWALS_A_LEASE)
        else:
            self._report(held, ident)

    def _report(self, held: _Held, ack: bytes = b"") -> None:
        """The result, which asks for the next job if we know whom to ask."""
        self._held = None
        self._asked = self.instance is not None
        ident = self.crowd.new_id()
        self.books.unconfirmed[ident] = held.job
        text = DONE if self._asked else DONE_AND_NO_MORE
        values = {b"to": held.instance, b"id": ident, b"job": held.job, b"claim": held.claim}
        self.insist("jobDone", ident, self._with_acks(text, held.instance, ack) % values)

    def reported(self) -> None:
        """What the report asks for comes with its acknowledgement or, if there is none now, by itself."""
        if not self._asked:
            self._want()
            return
        self._asked, self.parked = False, True
        self.shows_up_in(SHOW_UP_EVERY * (0.8 + 0.4 * self.crowd.random.random()))

    def settled(self, ident: bytes) -> None:
        """The leases of what was renewed have begun anew."""
        if ident == self._renewal:
            self._silent = False
        super().settled(ident)

    def _renew_in(self, seconds: float) -> None:
        due = self._renews = self.crowd.now + seconds

        def renew() -> None:
            if self._renews == due and self._held is not None and self.stream.up:
                self._renew(self._held)

        self.crowd.later(seconds, renew)

    def _renew(self, held: _Held) -> None:
        ident = self._renewal = self.crowd.new_id()
        to = self.manager if self._silent else held.instance
        values = {b"to": to, b"id": ident, b"job": held.job, b"attempt": held.attempt}
        self.insist("renewLease", ident, RENEW % values)
        self._silent = True
        jitter = 0.8 + 0.2 * self.crowd.random.random()
        self._renew_in(held.lease / RENEWALS_A_LEASE * jitter)

    def _lost(self, sender: bytes, ident: bytes, _: bytes) -> None:
        self.books.errors["lease lost"] += 1
        self._acknowledge(sender, ident)

    def _error(self, _: bytes, __: bytes, body: bytes) -> None:
        code, settles = wire.CODE.search(body), wire.IN_REPLY_TO.search(body)
        self.books.errors[b64decode(code[1] if code else b"").decode()] += 1
        if settles is not None:
            self.flight.pop(b64decode(settles[1]), None)
            self.crowd.flight.pop(b64decode(settles[1]), None)

    def _acknowledge(self, to: bytes, ident: bytes) -> None:
        self.say("ack", ACKNOWLEDGE % {b"to": to, b"ack": ident})
