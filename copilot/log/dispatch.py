"""Reads the logger files of 2011: Log::Dispatch::Config in AppConfig form.

    dispatchers = file screen
    file.class = Log::Dispatch::File
    file.min_level = debug
    file.filename = /var/log/copilot-agent.log
    file.format = [%d] [%p] %m%n

or the same keys without `file.` below a line `[file]`. `=` may be left out. What we do not know is a warning. Ours is
`format = json`, for one JSON object a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path

from copilot.errors import ConfigError
from copilot.log.lines import EMERGENCY, LEVELS, REPORT_FORMAT
from copilot.records import dataclass

FILE_CLASS = "Log::Dispatch::File"
SCREEN_CLASS = "Log::Dispatch::Screen"

_LINE = re.compile(r"([\w.:-]+)\s*(?:=\s*|\s)(.*)\Z")
_BLOCK = re.compile(r"\[\s*([\w-]+)\s*\]\Z")
_KNOWN = frozenset({"class", "min_level", "max_level", "filename", "mode", "format", "stderr"})
_ALWAYS_SO = frozenset({"autoflush", "binmode", "close_after_write", "name", "newline", "syswrite", "utf8"})
_SHORT_LEVELS = {"warn": "warning", "err": "error", "crit": "critical", "emerg": "emergency"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatcher:
    """One way out. `path` is None for the screen; `origin` is where its file name stands; `layout` is its format."""

    path: Path | None
    origin: str
    truncate: bool = False
    stderr: bool = True
    min_level: int = 0
    max_level: int = EMERGENCY
    layout: str = REPORT_FORMAT


@dataclass(frozen=True, slots=True)
class _Value:
    text: str
    origin: str


@dataclass(slots=True)
class DispatchFile:
    """The dispatchers that a file asks for, and warnings, one line each."""

    dispatchers: list[Dispatcher] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_dispatch_file(path: Path) -> DispatchFile:
    """Raises `ConfigError` if the file cannot be read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"{path}: the logger file cannot be read: {error.strerror}") from error
    result = DispatchFile()
    values = _values(path, text, result.warnings)
    names = values.get("dispatchers", _Value("", str(path))).text.split()
    for name in names:
        dispatcher = _dispatcher(path, name, values, result.warnings)
        if dispatcher is not None:
            result.dispatchers.append(dispatcher)
    if not result.dispatchers:
        result.warnings.append(f"{path}: names no dispatcher that can be used; the log goes to stderr")
    return result


def _values(path: Path, text: str, warnings: list[str]) -> dict[str, _Value]:
    """All values under their full names, `<dispatcher>.<key>`."""
    values: dict[str, _Value] = {}
    block = ""
    for origin, line in _logical_lines(path, text):
        if match := _BLOCK.match(line):
            block = f"{match[1]}."
        elif match := _LINE.match(line):
            values[block + match[1]] = _Value(match[2].strip().strip("\"'"), origin)
        else:
            warnings.append(f"{origin}: expected `name = value` or `[dispatcher]`; the line is ignored")
    return values


def _logical_lines(path: Path, text: str) -> Iterator[tuple[str, str]]:
    """Lines without comments; one that ends in a back-slash goes on in the next."""
    held = ""
    for number, line in enumerate(map(str.strip, text.split("\n")), start=1):
        if not held and (not line or line.startswith("#")):
            continue
        if line.endswith("\\"):
            held += line[:-1]
            continue
        yield f"{path}:{number}", held + line
        held = ""


def _dispatcher(
    path: Path, name: str, values: Mapping[str, _Value], warnings: list[str]
) -> Dispatcher | None:
    own = {key.partition(".")[2]: value for key, value in values.items() if key.startswith(f"{name}.")}
    warnings += [
        f"{value.origin}: {name}.{key}: not supported; the line is ignored"
        for key, value in own.items()
        if key not in _KNOWN | _ALWAYS_SO
    ]
    kind = own.get("class", _Value("", str(path)))
    if kind.text not in (FILE_CLASS, SCREEN_CLASS):
        warnings.append(
            f"{kind.origin}: {name}.class: expected {FILE_CLASS} or {SCREEN_CLASS}, found {kind.text!r}; "
            "this dispatcher is left out"
        )
        return None
    file = own.get("filename")
    if kind.text == FILE_CLASS and (file is None or not file.text):
        warnings.append(f"{kind.origin}: {name}.filename: missing; this dispatcher is left out")
        return None
    fallback = values.get("format", _Value(REPORT_FORMAT, ""))
    return Dispatcher(
        path=Path(file.text) if file and kind.text == FILE_CLASS else None,
        origin=file.origin if file else kind.origin,
        truncate=_text(own, "mode", "append") not in ("append", ">>"),
        stderr=_text(own, "stderr", "1") != "0",
        min_level=_level(name, own, "min_level", 0, warnings),
        max_level=_level(name, own, "max_level", EMERGENCY, warnings),
        layout=own.get("format", fallback).text,
    )


def _text(own: Mapping[str, _Value], key: str, default: str) -> str:
    return own[key].text if key in own else default


def _level(name: str, own: Mapping[str, _Value], key: str, default: int, warnings: list[str]) -> int:
    """Levels have names, short names, and numbers from 0 to 7."""
    value = own.get(key)
    if value is None:
        return default
    word = value.text.lower()
    word = list(LEVELS)[int(word)] if re.fullmatch("[0-7]", word) else _SHORT_LEVELS.get(word, word)
    if word not in LEVELS:
        warnings.append(
            f"{value.origin}: {name}.{key}: expected one of {', '.join(LEVELS)}, found {value.text!r}"
        )
        return default
    return LEVELS[word]
