"""Every error that Co-Pilot raises on purpose. The text of an error is what a person reads.

    CopilotError
    ├── ConfigError             a setting is missing or wrong (exit code 2)
    ├── BadName                 a job id or file name that must not reach a path, a key or a shell
    │   └── BadRequirements     an expression on hosts that cannot be read
    ├── ProtocolError           a message that breaks the protocol; always the peer's fault
    ├── SealError               a sealed message that cannot be opened; always the peer's fault
    ├── TransportError          the XMPP server cannot be used
    │   ├── LoginRefused        wrong password or account; trying again does not help
    │   │   ├── CertificateRefused  the server has another certificate than we trust
    │   │   └── AgentRevoked    an agent that was in is out (exit code 77)
    │   ├── SessionReplaced     another program logged in with our full JID (`conflict`)
    │   ├── RoomRefused         a chat room, or the service that has it, said no
    │   └── AccountRefused      the XMPP server did not make or remove an account
    ├── BundleRefused           a bundle lets us not in (exit code 77)
    ├── JoinFailed              nobody could let us in now; trying again helps (exit code 75)
    ├── StoreError              the queue refused
    │   ├── StoreUnavailable    Redis is away or busy; trying again helps (exit code 75)
    │   │   └── QueueFull       no room for new jobs; trying again later helps (exit code 75)
    │   │       └── IntakePaused  somebody has stopped the intake of new jobs
    │   ├── TooManyJobs         the owner has as many on the queue as he may; later helps (exit code 75)
    │   ├── TooManyWatches      so many outputs are being looked at; later helps (exit code 75)
    │   ├── JobExists           that id is taken by another job
    │   └── UnknownJob          no such job
    ├── TransferError           a file did not arrive
    │   ├── TransferUnavailable the other side is away; trying again helps
    │   ├── TransferRefused     wrong URL, expired signature, no such file; trying again does not help
    │   ├── TransferCorrupt     size or SHA-256 differ from what was announced; once more may help
    │   └── NoSpace             the disk is full, here or there
    ├── UserNotMade             the account of a person could not be made
    ├── JobFailed               a job whose result somebody waited for has none
    ├── ExecutorBroken          an executor whose calls cannot get to the system any more
    ├── NotPicklable            what a call came to cannot be brought home as a Python object
    ├── RemoteRefused           the job manager refused what was asked of it by XMPP
    └── ServerMissing           a program that the embedded system needs is not installed

`retryable` says whether the same call may work later without anybody changing anything.
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor
from typing import ClassVar


class CopilotError(Exception):
    """Base of all errors of ours. `str(error)` says what was wrong, where, and what to do next."""

    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1


class ConfigError(CopilotError):
    """A setting is missing or has a value of the wrong type; names file, line, key and expectation."""

    exit_code: ClassVar[int] = 2


class BadName(CopilotError):
    """A job id or a relative file name that is not allowed."""

    exit_code: ClassVar[int] = 2


class BadRequirements(BadName):
    """Requirements of a job that are no expression over a host's attributes; says where and what was expected."""


class ProtocolError(CopilotError):
    """A message that breaks the protocol. `code` is what the peer gets in `error`.

    codes: `malformed`, `unknown-command`, `missing-attribute`, `bad-value`, `too-large`
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class SealError(CopilotError):
    """A sealed message that cannot be opened, or whose sender is not who he says. The peer hears nothing of the cause."""


class TransportError(CopilotError):
    """The XMPP server cannot be used."""


class LoginRefused(TransportError):
    """The server refused our password or account, or we its certificate. Somebody has to mend that."""


class CertificateRefused(LoginRefused):
    """We do not take the certificate of the server: it is another one than the one we trust, or not the right name."""


class BundleRefused(CopilotError):
    """A bundle does not let us in, and will not later."""

    exit_code: ClassVar[int] = 77  # EX_NOPERM of sysexits.h


class JoinFailed(CopilotError):
    """Nobody could let us in now; trying again helps."""

    retryable: ClassVar[bool] = True
    exit_code: ClassVar[int] = 75  # EX_TEMPFAIL of sysexits.h


class AgentRevoked(LoginRefused):
    """The account of an agent that was in is gone."""

    exit_code: ClassVar[int] = 77  # EX_NOPERM of sysexits.h


class SessionReplaced(TransportError):
    """The server ended our stream with `conflict`: another program uses the same full JID (RFC 6120, 4.9.3.3)."""


class RoomRefused(TransportError):
    """A chat room, or its service, refused a request. `condition` is that of the stanza error (RFC 6120, 8.3.3), or
    `timeout` if no answer came."""

    def __init__(self, condition: str, text: str) -> None:
        super().__init__(text)
        self.condition = condition


class AccountRefused(TransportError):
    """The XMPP server did not change an account. `condition` is that of the stanza error (RFC 6120, 8.3.3), `timeout` if no
    answer came, `refused` for a complaint in words. `no_admin`: we may not change accounts there at all."""

    def __init__(self, condition: str, text: str, *, no_admin: bool = False) -> None:
        super().__init__(text)
        self.condition = condition
        self.no_admin = no_admin


class StoreError(CopilotError):
    """The queue refused a request."""


class StoreUnavailable(StoreError):
    """Redis is away, loading, read-only or out of memory."""

    retryable: ClassVar[bool] = True
    exit_code: ClassVar[int] = 75  # EX_TEMPFAIL of sysexits.h


class QueueFull(StoreUnavailable):
    """The memory of Redis is too full for new jobs; what is on the queue goes on."""


class IntakePaused(QueueFull):
    """Somebody has stopped the intake of new jobs."""


class TooManyJobs(StoreError):
    """The owner has as many jobs on the queue as he may have; there is room again when some are over."""

    retryable: ClassVar[bool] = True
    exit_code: ClassVar[int] = 75


class TooManyWatches(StoreError):
    """As many outputs of running jobs are being looked at as there may be."""

    retryable: ClassVar[bool] = True
    exit_code: ClassVar[int] = 75


class JobExists(StoreError):
    """A different job with this id was submitted before."""


class UnknownJob(StoreError):
    """There is no job with this id."""


class TransferError(CopilotError):
    """A file did not arrive."""


class TransferUnavailable(TransferError):
    """The other side is away or broke off."""

    retryable: ClassVar[bool] = True


class TransferRefused(TransferError):
    """The other side will not give or take this file: wrong URL, expired signature, no such file, too large."""


class TransferCorrupt(TransferError):
    """Size or SHA-256 of what arrived differ from what was announced."""

    retryable: ClassVar[bool] = True


class NoSpace(TransferError):
    """The disk is full, on this side or on the other."""

    retryable: ClassVar[bool] = True


class UserNotMade(CopilotError):
    """The account of a person could not be made; nothing of it is left."""


class RemoteRefused(CopilotError):
    """The job manager refused what somebody asked of it from afar. `code` is that of its `error`."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class JobFailed(CopilotError):
    """A job ended without what was wanted of it. `cause` is the word of how its last attempt ended (`copilot.job.Cause`),
    `exit_status` what a shell would say, `tail` the end of its stderr as far as that is known."""

    def __init__(
        self, text: str, *, job: str = "", cause: str = "", exit_status: int | None = None, tail: str = ""
    ) -> None:
        super().__init__(text)
        self.job = job
        self.cause = cause
        self.exit_status = exit_status
        self.tail = tail


class ExecutorBroken(CopilotError, BrokenExecutor):
    """An executor has lost the system for good, or its initializer failed: nothing that was submitted to it goes on here."""


class NotPicklable(CopilotError):
    """What a call returned or raised on its agent cannot be made a Python object here; the text says what it was."""


class ServerMissing(CopilotError):
    """A program that the embedded system needs cannot be had; the text names the one command that installs it."""
