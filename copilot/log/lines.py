"""How a log line looks: `[Fri Mar 25 16:18:57 2011] [info] text`, always one line a message.

Text may come from the wire, so whatever could start a new line or move the cursor is escaped: nobody can forge a
line. The lines of a traceback are indented for the same reason.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from functools import lru_cache

NOTICE = 25
ALERT = 60
EMERGENCY = 70

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": NOTICE,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "alert": ALERT,
    "emergency": EMERGENCY,
}
REPORT_FORMAT = "[%d] [%p] %m"

_CONVERSION = re.compile(r"%([dpmFLPn%])|\$\{(datetime|priority|message|filename|line|package)\}")


@lru_cache(maxsize=64)
def level_name(level: int) -> str:
    """The name of the highest level that is not above `level`."""
    return next((name for name, number in reversed(LEVELS.items()) if number <= level), "debug")


@lru_cache(maxsize=2)  # lines come in bursts
def _date(second: int) -> str:
    return time.ctime(second)  # local time; English names whatever the locale


def printable(text: str) -> str:
    """`text` with everything escaped that is not a plain blank or a visible character."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


_SHORT: dict[str, Callable[[logging.LogRecord], str]] = {
    "d": lambda record: _date(int(record.created)),
    "p": lambda record: level_name(record.levelno),
    "m": lambda record: printable(record.getMessage()),
    "F": lambda record: record.pathname,
    "L": lambda record: str(record.lineno),
    "P": lambda record: record.name,
    "n": lambda _: "",
    "%": lambda _: "%",
}
_LONG = {"datetime": "d", "priority": "p", "message": "m", "filename": "F", "line": "L", "package": "P"}
_VALUES = _SHORT | {name: _SHORT[letter] for name, letter in _LONG.items()}


class LineFormatter(logging.Formatter):
    """Formats by the conversions of Log::Dispatch::Config: %d date, %p level, %m message, %F file, %L line, %P
    logger, %n nothing (a line ends by itself), and their long forms like ${message}."""

    def __init__(self, layout: str = REPORT_FORMAT) -> None:
        super().__init__()
        words = [word.replace("%", "%%") for word in _CONVERSION.split(layout)[:: _CONVERSION.groups + 1]]
        self._line = "%s".join(words)
        self._values = [_VALUES[match[1] or match[2]] for match in _CONVERSION.finditer(layout)]

    def format(self, record: logging.LogRecord) -> str:
        line = self._line % tuple(value(record) for value in self._values)
        if record.exc_info:
            trace = self.formatException(record.exc_info).split("\n")
            line += "".join(f"\n    {printable(part)}" for part in trace)
        return line
