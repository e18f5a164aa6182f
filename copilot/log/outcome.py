"""How the end of an attempt stands in the log: in the same words at its agent and at its manager."""

from __future__ import annotations

import logging

from copilot.job import Cause, Outcome


def level_of(outcome: Outcome) -> int:
    """Nobody need look at what went well or was cancelled."""
    return logging.INFO if outcome.cause in (Cause.OK, Cause.CANCELLED) else logging.WARNING


def in_words(outcome: Outcome, seconds: float | None = None) -> str:
    """`user-exit, exit code 3, after 2.1 s, 812 bytes of output: the command exited with 3`."""
    words = [outcome.cause.value, f"exit code {outcome.exit_code}"]
    if seconds is not None:
        words.append(f"after {seconds:.1f} s")
    if outcome.output is not None:
        words.append(f"{outcome.output.size} bytes of output")
    return ", ".join(words) + (f": {outcome.reason}" if outcome.reason else "")
