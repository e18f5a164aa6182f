"""Questions before what cannot be undone."""

from __future__ import annotations

import sys

from copilot.errors import ConfigError, CopilotError


class NotWanted(CopilotError):
    """Somebody was asked, and said no; nothing was done."""


def confirm(question: str, *, yes: bool) -> None:
    """Go on if somebody says yes, or has said so before. Raises `NotWanted`, and `ConfigError` if nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} Nobody can answer here: say --yes if that is wanted. Nothing was done")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise NotWanted("nothing was done")
