"""How a log line looks: `[Fri Mar 25 16:18:57 2011] [info] text`, always one line a message.

Text may come from the wire, so whatever could start a new line or move the cursor is escaped: nobody can forge a
line. The lines of a traceback are indented for the same reason.
"""

from __future__ import annotations

import logging
import re
import time

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


def level_name(level: int) -> str:
    """The name of the highest level that is not above `level`."""
    return next((name for name, number in reversed(LEVELS.items()) if number <= level), "debug")


def printable(text: str) -> str:
    """`text` with everything escaped that is not a plain blank or a visible character."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


class LineFormatter(logging.Formatter):
    """Formats by the conversions of Log::Dispatch::Config: %d date, %p level, %m message, %F file, %L line, %P
    logger, %n nothing (a line ends by itself), and their long forms like ${message}."""

    def __init__(self, layout: str = REPORT_FORMAT) -> None:
        super().__init__()
        self._layout = layout

    def format(self, record: logging.LogRecord) -> str:
        values = {
            "d": time.ctime(record.created),  # local time; English names whatever the locale
            "p": level_name(record.levelno),
            "m": printable(record.getMessage()),
            "F": record.pathname,
            "L": str(record.lineno),
            "P": record.name,
            "n": "",
            "%": "%",
        }
        line = _CONVERSION.sub(lambda match: values[match[1] or _LONG[match[2]]], self._layout)
        if record.exc_info:
            trace = self.formatException(record.exc_info).split("\n")
            line += "".join(f"\n    {printable(part)}" for part in trace)
        return line


_LONG = {"datetime": "d", "priority": "p", "message": "m", "filename": "F", "line": "L", "package": "P"}
