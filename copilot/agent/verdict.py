"""What the end of a payload means: from its exit and the script's last step to a cause and a line for people."""

from __future__ import annotations

import signal

from copilot.agent.processes import Exit
from copilot.agent.wrapper import NOT_STARTED, Step
from copilot.job import Cause, Outcome, one_line, sized

# What C, C++, Python, Perl and shells print when malloc(3) or mmap(2) fail.
MEMORY_TEXTS = ("Cannot allocate memory", "Out of memory", "out of memory", "MemoryError", "std::bad_alloc")
DISK_FULL_TEXT = "No space left on device"  # what programs print for ENOSPC


def memory_refused(said: str) -> bool:
    """Whether a payload says, in the usual words, that it asked for memory in vain."""
    return any(text in said for text in MEMORY_TEXTS)


def judge(
    ended: Exit, status: str, *, last_line: str = "", disk_full: bool = False, memory: int | None = None
) -> Outcome:
    """The outcome of an attempt.

    `status` is what the script wrote (`wrapper.Step`), `last_line` the last of stderr, `disk_full` whether the
    host's disk has no room left or the payload said so, `memory` the limit because of which it got no memory.
    """
    step, _, package = status.partition(" ")
    cause, text = _cause(ended, step, package, disk_full=disk_full)
    if cause is Cause.USER_EXIT and memory is not None:
        cause, text = (
            Cause.USER_MEMORY,
            f"it asked for more memory than its limit of {sized(memory)} allows; {text}",
        )
    own = ended.signal is not None or step in ("", Step.COMMAND, Step.STARTED)
    code = ended.shell_code if own else NOT_STARTED
    if ended.strays:
        text += f"; {ended.strays} process{'es' * (ended.strays > 1)} left behind, stopped"
    if last_line and cause is not Cause.OK:
        text += f"; last line of stderr: {last_line}"
    return Outcome(cause=cause, exit_code=code, reason=one_line(text.removeprefix("; ")))


def _cause(ended: Exit, step: str, package: str, *, disk_full: bool) -> tuple[Cause, str]:
    return _ended_by_us(ended) or _ended_itself(ended, step, package, disk_full=disk_full)


def _ended_by_us(ended: Exit) -> tuple[Cause, str] | None:
    if ended.stopped:
        return Cause.CANCELLED, f"stopped after {ended.seconds:.0f} s, because somebody wanted it"
    if ended.excess is not None:
        return ended.excess.cause, ended.excess.text
    if ended.limited:
        return Cause.POLICY_RUN_TIME, f"stopped after {ended.seconds:.0f} s, the longest time it may run"
    return None


def _ended_itself(ended: Exit, step: str, package: str, *, disk_full: bool) -> tuple[Cause, str]:
    if ended.signal == signal.SIGKILL:
        return Cause.INFRA_KILLED, "killed by SIGKILL that the agent did not send: out of memory, most often"
    if ended.code == 0 and step in ("", Step.STARTED):
        return Cause.OK, ""
    if disk_full:
        return Cause.INFRA_DISK_FULL, f"the disk of this host is full; the job ended with {_end(ended)}"
    if step == Step.PACKAGE:
        return Cause.USER_PREREQUISITE, f"package {package} cannot be set up on this host"
    if step == Step.COMMAND:
        return Cause.USER_NO_COMMAND, "the command is missing or cannot be executed"
    if step in (Step.ENVIRONMENT, Step.ARGUMENTS):
        return (
            Cause.USER_EXIT,
            f"the job's {step} text is no valid shell text, or ended the shell; correct it",
        )
    if ended.signal is not None:
        return Cause.USER_SIGNAL, _end(ended)
    return Cause.USER_EXIT, _end(ended)


def _end(ended: Exit) -> str:
    if ended.signal is None:
        return f"exit code {ended.code}"
    try:
        return f"signal {ended.signal} ({signal.Signals(ended.signal).name})"
    except ValueError:  # a real-time signal
        return f"signal {ended.signal}"
