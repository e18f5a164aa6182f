"""Under systemd: each line tells the journal its priority, so that `journalctl -p warning` finds what it should.

The journal takes the prefix `<N>` off again (sd-daemon(3)).
"""

from __future__ import annotations

import logging
import os
from typing import TextIO

from copilot.log.lines import level_name

_PRIORITIES = {
    "emergency": 0,
    "alert": 1,
    "critical": 2,
    "error": 3,
    "warning": 4,
    "notice": 5,
    "info": 6,
    "debug": 7,
}


def is_journal(stream: TextIO) -> bool:
    """Whether what is written there goes to the journal: systemd names its end of the pipe (systemd.exec(5))."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # it is closed, or no file at all
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class JournalFormatter(logging.Formatter):
    """The lines of another formatter, each with its priority."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITIES[level_name(record.levelno)]}>"
        return prefix + self._inner.format(record).replace("\n", f"\n{prefix}")
