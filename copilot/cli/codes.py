"""The exit codes of all commands. `docs/exit-codes.md` has the same table; a test compares them."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """What a command's end means. Numbers from 64 on are those of sysexits.h, timeout(1) and the shell."""

    OK = 0
    NO = 1
    USAGE = 2
    OUTPUT = 74
    LATER = 75
    FORBIDDEN = 77
    TIMEOUT = 124
    INTERRUPTED = 130
    PIPE = 141


MEANINGS = {
    ExitCode.OK: ("all is as wanted", ""),
    ExitCode.NO: (
        "some job, agent or answer is not as wanted; the others are",
        "look at the lines on the error output: one for each that is not",
    ),
    ExitCode.USAGE: (
        "an option, a name, a job file or a setting is wrong, or a question had nobody to answer it; nothing was done",
        "mend what the line names; `--yes` answers questions",
    ),
    ExitCode.OUTPUT: (
        "what the command says could not be written: its disk is full, or broken",
        "make room; what the command was to do may be done: `copilot jobs list` tells",
    ),
    ExitCode.LATER: (
        "not now: the queue is away, full or paused, an owner has too many jobs, nobody lets an agent in",
        "the same command again, later",
    ),
    ExitCode.FORBIDDEN: ("a bundle or an account lets us in no more", "ask who runs the service"),
    ExitCode.TIMEOUT: ("`--timeout` was over before the jobs were", "wait again; the jobs go on"),
    ExitCode.INTERRUPTED: ("Ctrl-C", "what is on the queue goes on; the line says what that is"),
    ExitCode.PIPE: ("who read the output has gone (`… | head`)", ""),
}


def table() -> str:
    """The table as the page has it."""
    rows = ["| Code | Means | What to do |", "|---|---|---|"]
    rows += [f"| {code.value} | {meaning} | {cure} |" for code, (meaning, cure) in MEANINGS.items()]
    return "\n".join(rows)
