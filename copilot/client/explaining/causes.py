"""What the cause of an attempt's end means, and what helps."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from copilot.job import Cause, JobSpec, Outcome, sized
from copilot.records import dataclass

_SIGNAL = 128  # an exit code above it is 128 + the number of a signal
_CODES: Mapping[int, str] = {126: "the command cannot be executed", 127: "a command was not found"}
MARGIN = 5 / 4  # of what was measured, when more is suggested


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a cause means in a sentence's middle, and what helps."""

    text: str
    helps: str


_LOOK = "`copilot jobs tail` and `copilot jobs output` have what it wrote"
_RETRY = "`copilot jobs retry` runs it once more"

CAUSES: Mapping[Cause, Meaning] = {
    Cause.OK: Meaning(text="it ended well", helps="nothing"),
    Cause.USER_EXIT: Meaning(
        text="its command ended with an exit code other than 0",
        helps=f"mend the command, and submit it under another id; if the fault lay elsewhere, {_RETRY}",
    ),
    Cause.USER_SIGNAL: Meaning(
        text="its command died by a signal that the agent did not send",
        helps="look for a crash or an own kill; a core dump or stderr may tell",
    ),
    Cause.USER_NO_COMMAND: Meaning(
        text="its command is missing or cannot be executed",
        helps="look whether the file has a '#!' line and what that names is on the host",
    ),
    Cause.USER_VALIDATION: Meaning(
        text="its validation script refused the result", helps="look at what the script wrote"
    ),
    Cause.USER_PREREQUISITE: Meaning(
        text="a package or file that it requires is not on the host",
        helps="require hosts that have it (--requirements), or bring it as an input",
    ),
    Cause.USER_MEMORY: Meaning(text="it used more memory than it may", helps="give it more with --memory"),
    Cause.USER_CPU_TIME: Meaning(
        text="it used more processor time than it may", helps="give it more with --cpu-time"
    ),
    Cause.USER_PROCESSES: Meaning(
        text="it had more processes than it may", helps="give it more with --processes"
    ),
    Cause.USER_DISK: Meaning(text="its directory grew over its quota", helps="give it more with --disk"),
    Cause.USER_FILE_SIZE: Meaning(
        text="one of its files grew over the limit", helps="give it more with --file-size"
    ),
    Cause.INFRA_FETCH: Meaning(
        text="its input files could not be fetched",
        helps=f"look whether the file server runs and has them; then {_RETRY}",
    ),
    Cause.INFRA_STORE: Meaning(
        text="its output could not be packed or stored",
        helps=f"look at the file server, its disk, and the agent's log; then {_RETRY}",
    ),
    Cause.INFRA_DISK_FULL: Meaning(
        text="the host's disk was full", helps=f"ask for room with --disk, or make room there; then {_RETRY}"
    ),
    Cause.INFRA_KILLED: Meaning(
        text="somebody killed it with SIGKILL: most often the kernel, for want of memory",
        helps=f"ask for as much memory as it needs with --memory; if it was not that, {_RETRY}",
    ),
    Cause.INFRA_LOST: Meaning(
        text="its agent went away, or came back without it",
        helps=f"look whether agents die under it (memory?); then {_RETRY}",
    ),
    Cause.INFRA_UNDELIVERED: Meaning(
        text="its agent never confirmed that it has it, or refused it",
        helps=f"look at the agent's log; then {_RETRY}",
    ),
    Cause.INFRA_PREEMPTED: Meaning(
        text="its agent had to leave before the end", helps=f"{_RETRY}; shorter jobs fare better there"
    ),
    Cause.INFRA_CUT_OFF: Meaning(
        text="it is exclusive, and its agent was cut off and stopped it", helps=_RETRY
    ),
    Cause.POLICY_RUN_TIME: Meaning(
        text="it ran longer than it may, or its report never came",
        helps=f"give it more time with --walltime, or look for a hang; {_RETRY}",
    ),
    Cause.POLICY_SECRETS: Meaning(
        text="its secrets are sealed for a key that the service has no more",
        helps="submit it again under another id: the secrets are sealed anew",
    ),
    Cause.CANCELLED: Meaning(text="somebody cancelled it", helps=_RETRY),
}
_UNKNOWN = Meaning(text="for a cause that this version does not know", helps=_RETRY)

# By cause: the option that raises the limit, the limit's field in the specification, and what was used in the outcome.
_LIMITS: Mapping[Cause, tuple[str, str, str]] = {
    Cause.USER_MEMORY: ("--memory", "memory", "memory"),
    Cause.USER_DISK: ("--disk", "disk", "disk"),
    Cause.USER_CPU_TIME: ("--cpu-time", "cpu_time", "cpu_time"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitHit:
    """A limit that ended an attempt: the option that sets it, its value (None: the agent's own), what was used (None: not known), and
    what to try. Bytes or seconds."""

    option: str
    limit: float | None
    used: float | None
    suggestion: str

    def told(self) -> str:
        """In a sentence's middle."""
        limit = "the agent's limit" if self.limit is None else f"a limit of {self._shown(self.limit)}"
        return limit if self.used is None else f"used {self._shown(self.used)}, {limit}"

    def _shown(self, number: float) -> str:
        return f"{number:g} s" if self.option == "--cpu-time" else sized(int(number))


def meaning(cause: Cause) -> Meaning:
    """Of a cause, also of one that came with a newer version."""
    return CAUSES.get(cause, _UNKNOWN)


def exit_words(code: int) -> str:
    """An exit code, with the signal or the shell's meaning behind it."""
    if code > _SIGNAL:
        try:
            return f"exit code {code} ({signal.Signals(code - _SIGNAL).name})"
        except ValueError:
            return f"exit code {code}"
    return f"exit code {code} ({_CODES[code]})" if code in _CODES else f"exit code {code}"


def limit_hit(spec: JobSpec, outcome: Outcome) -> LimitHit | None:
    """Which limit ended an attempt, if its cause is one whose use is measured."""
    if outcome.cause not in _LIMITS:
        return None
    option, field, used = _LIMITS[outcome.cause]
    limit: float | None = getattr(spec, field)
    measured: float | None = getattr(outcome, used)
    more = max(limit or 0.0, measured or 0.0) * MARGIN
    return LimitHit(option=option, limit=limit, used=measured, suggestion=_suggested(option, more))


def _suggested(option: str, number: float) -> str:
    if not number:
        return option
    if option == "--cpu-time":
        return f"{option} {number:.0f}"
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= 4 * unit or unit == 2**10:
            return f"{option} '{-(-number // unit):.0f} {name}'"
    raise AssertionError("not reached")
