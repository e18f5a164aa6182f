"""What a `jobDone` says about its attempt, in our words: from our agents, and from those of 2011 (report, 2.2.3.1).

An agent of 2011 knows no causes and no hashes, and its exit code is what wait(2) returned: exit 3 arrives as 768.
"""

from __future__ import annotations

import binascii
import hashlib
import signal
from base64 import b64decode
from typing import TypeVar

from copilot.job import LARGEST_LIMIT, Cause, Outcome, Output, one_line
from copilot.protocol.commands import JobDone

N = TypeVar("N", int, float)

MAX_TAIL = 2000  # characters of stderr that the record keeps
MAX_SANDBOX = 100  # characters
MOST_WITH_REPORT = 32 * 1024  # bytes of an output; agents of ours send at most half of that
SIGNAL_BASE = 128  # of an exit code, as shells say it
NOT_STARTED = 127  # what a shell says of a command that it cannot find
_STATUS_BITS = 0xFFFF  # of a wait status; more is none
_SIGNAL_BITS = 0x7F
_NOTHING_STORED = "the agent reported the end of the job, but its output is not where it should be"


def outcome_of(report: JobDone, output: Output | None) -> Outcome:
    """How the attempt ended, according to an agent with features. `output` is what was found."""
    return Outcome(
        cause=_cause(report),
        exit_code=report.exit_code,
        reason=one_line(report.reason or ""),
        host=report.agent_host[:255],
        validate_exit_code=report.validate_exit_code,
        output=output,
        tail=(report.stderr_tail or "")[-MAX_TAIL:],
        sandbox=one_line((report.sandbox or "")[:MAX_SANDBOX]),
        cpu_time=_plausible(report.cpu_time),
        memory=_plausible(report.memory),
        disk=_plausible(report.disk),
        wall_time=_plausible(report.wall_time),
        bytes_in=_plausible(report.bytes_in),
        bytes_out=None if output is None else output.size,
    )


def as_announced(report: JobDone, output: Output | None) -> bool:
    """Whether what was found is what the agent has put there. Agents of 2011 announce nothing."""
    if report.output_size is None:
        return output is None
    return output == Output(size=report.output_size, sha256=report.output_sha256 or "")


def unpacked(package: str) -> bytes | None:
    """The output that came with a report; None if it is no base64, or so large that it must be uploaded."""
    try:
        data = b64decode(package, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if len(data) <= MOST_WITH_REPORT else None


def facts_of(package: bytes) -> Output:
    """Size and hash of an output that came with a report."""
    return Output(size=len(package), sha256=hashlib.sha256(package).hexdigest())


def _plausible(number: N | None) -> N | None:
    """What an agent has measured, or nothing where it cannot have."""
    return number if number is not None and 0 <= number < LARGEST_LIMIT else None


def _cause(report: JobDone) -> Cause:
    """What the agent named, if we know it and it fits the exit code; else what the codes say."""
    try:
        named = Cause(report.cause) if report.cause is not None else None
    except ValueError:
        named = None
    said = _cause_of_codes(report.exit_code, report.validate_exit_code)
    return said if named is None or (named is Cause.OK and said is not Cause.OK) else named


def _cause_of_codes(exit_code: int, validate_exit_code: int | None) -> Cause:
    if exit_code != 0:
        return Cause.USER_EXIT
    return Cause.OK if validate_exit_code in (None, 0) else Cause.USER_VALIDATION


def outcome_of_2011(report: JobDone, output: Output | None) -> Outcome:
    """How the attempt ended, according to an agent of 2011. It reports when it has stored its output, so none means
    that it got lost."""
    code = exit_code_of(report.exit_code)
    validated = None if report.validate_exit_code is None else exit_code_of(report.validate_exit_code)
    cause, reason = _cause_of_codes(code, validated), ""
    if report.exit_code < 0:
        cause, reason = Cause.USER_NO_COMMAND, "the agent could not start the command"
    elif number := report.exit_code & _SIGNAL_BITS:
        cause = Cause.INFRA_KILLED if number == signal.SIGKILL else Cause.USER_SIGNAL
        reason = f"the command was ended by signal {number}"
    if output is None:
        cause, reason = Cause.INFRA_STORE, _NOTHING_STORED
    return Outcome(
        cause=cause,
        exit_code=code,
        reason=reason,
        host=report.agent_host[:255],
        validate_exit_code=validated,
        output=output,
        bytes_out=None if output is None else output.size,
    )


def exit_code_of(status: int) -> int:
    """The exit code in a wait status as Perl's `$?` has it: -1 for a command that was not started, signal n as 128 + n."""
    if not 0 <= status <= _STATUS_BITS:
        return NOT_STARTED
    number = status & _SIGNAL_BITS
    return SIGNAL_BASE + number if number else status >> 8
