"""Connects Python's logging with the ways out that the configuration asks for."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from logging.handlers import WatchedFileHandler
from pathlib import Path

from copilot.errors import ConfigError
from copilot.log.dispatch import Dispatcher, read_dispatch_file
from copilot.log.journal import JournalFormatter, is_journal
from copilot.log.json_lines import JSON_FORMAT, JsonFormatter
from copilot.log.lines import REPORT_FORMAT, LineFormatter

OURS = "copilot"  # every logger of the project is below this one

_FORMATTERS = (LineFormatter, JsonFormatter, JournalFormatter)


def set_up(
    logger_file: Path | None,
    *,
    level: int = logging.INFO,
    layout: str = REPORT_FORMAT,
    program: str = OURS,
) -> tuple[str, ...]:
    """Send the log where `logger_file` says, or from `level` up to stderr, in `layout`. Replaces what was set up before. See `prepare`."""
    return prepare(logger_file, level=level, layout=layout, program=program)()


def prepare(
    logger_file: Path | None,
    *,
    level: int,
    layout: str,
    program: str,
    again: bool = False,
) -> Callable[[], tuple[str, ...]]:
    """What sends the log where `logger_file` says, or from `level` up to stderr, in `layout`, and cannot fail.

    `again`: in a program that has logged already, so what is in a log file stays, whatever its mode, and a file that names no way
    out is an error, where at the start the log goes to stderr. A layout is `json` or one
    of Log::Dispatch; `program` stands in JSON lines. Libraries are heard from `warning` up only.
    It returns warnings about the file, one line each. Raises `ConfigError` if it, or a log file that it names, cannot be
    opened.
    """
    dispatchers = [Dispatcher(path=None, origin="", min_level=level, layout=layout)]
    warnings: list[str] = []
    if logger_file is not None:
        asked = read_dispatch_file(logger_file)
        if again and not asked.dispatchers:
            raise ConfigError("; ".join(asked.warnings))
        dispatchers, warnings = asked.dispatchers or dispatchers, asked.warnings
    handlers = [_handler(dispatcher, program, again=again) for dispatcher in dispatchers]

    def put() -> tuple[str, ...]:
        _replace(handlers, min(dispatcher.min_level for dispatcher in dispatchers))
        return tuple(warnings)

    return put


def _replace(handlers: Sequence[logging.Handler], level: int) -> None:
    # No line of ours names threads or processes; finding them out is a third of what a line costs.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler.formatter, _FORMATTERS)]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(max(level, logging.DEBUG))


def _handler(dispatcher: Dispatcher, program: str, *, again: bool) -> logging.Handler:
    lines: logging.Formatter = LineFormatter(dispatcher.layout)
    if dispatcher.layout == JSON_FORMAT:
        lines = JsonFormatter(program)
    if dispatcher.path is not None:
        handler = _file(dispatcher.path, dispatcher, again=again)
    else:
        stream = sys.stderr if dispatcher.stderr else sys.stdout
        handler = logging.StreamHandler(stream)
        lines = JournalFormatter(lines) if is_journal(stream) else lines
    handler.setFormatter(lines)
    handler.setLevel(dispatcher.min_level)
    handler.addFilter(lambda record: record.levelno <= dispatcher.max_level)
    return handler


def _file(path: Path, dispatcher: Dispatcher, *, again: bool) -> logging.Handler:
    """A handler that opens the file again after logrotate has moved it away."""
    mode = "w" if dispatcher.truncate and not again else "a"
    try:
        return WatchedFileHandler(path, mode=mode, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(
            f"{dispatcher.origin}: filename: {str(path)!r} cannot be written: {error.strerror}; expected a file that "
            "this user can write to"
        ) from error
