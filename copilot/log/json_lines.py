"""Log lines for programs: one JSON object a line, pure ASCII, whatever the text (docs/logging.md)."""

from __future__ import annotations

import json
import logging
import os
import time
from functools import lru_cache

from copilot.log.lines import level_name
from copilot.log.refs import fields

JSON_FORMAT = "json"  # what a logger file and `*_LOG_FORMAT` call it

_encode = json.JSONEncoder(ensure_ascii=True).encode  # no line break, no control character gets through


class JsonFormatter(logging.Formatter):
    """`program` is who writes. Fields are always in the same order; those that do not hold are left out."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, str | int] = {
            "time": _instant(record.created),
            "level": level_name(record.levelno),
            "logger": record.name,
            "program": self._program,
            "pid": os.getpid(),
            "message": _whole(record.getMessage()),
        }
        for name, value in fields(record.args).items():
            line[name] = _whole(value) if isinstance(value, str) else value
        if record.exc_info:
            line["exception"] = _whole(self.formatException(record.exc_info))
        return _encode(line)


def _instant(created: float) -> str:
    """ISO 8601 in UTC, always with microseconds."""
    second, micros = divmod(int(created * 1e6), 1_000_000)
    return f"{_second(second)}.{micros:06d}Z"


@lru_cache(maxsize=2)  # lines come in bursts
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _whole(text: str) -> str:
    """Half a surrogate pair is no character, and not every reader of JSON bears it."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
