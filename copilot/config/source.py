"""A configuration file of the report: `NAME value` lines, the value being the rest of the line.

A `#` starts a comment only at the start of a line. Nothing of a value is ever quoted in a complaint: the line may
hold a password.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path

from copilot.config.secret import SECRET_ENDINGS
from copilot.errors import ConfigError
from copilot.patterns import pattern
from copilot.records import dataclass

_LINE = pattern(r"([A-Za-z][A-Za-z0-9_]*)(?:\s+(.*))?\Z", re.DOTALL)
_NAME_START = pattern(r"\A[A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Entry:
    """A value as it was written, and where: `file:line` or `environment`."""

    key: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class Source:
    """What a file says. `faults` and `warnings` are lines for people, each beginning with the place."""

    path: Path
    entries: dict[str, Entry]
    faults: tuple[str, ...]
    warnings: tuple[str, ...]


def read_source(path: Path) -> Source | None:
    """Read a file; None if there is none. Raises `ConfigError` if it cannot be read or is not UTF-8 text."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}; make it readable for this user"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: byte {error.start + 1} is not UTF-8; save the file as UTF-8 text"
        ) from error
    return _parse(path, text, mode)


def sets_anything(source: Source | None) -> bool:
    """Whether there is a file and a line in it that is no comment."""
    return source is not None and bool(source.entries or source.faults)


def _parse(path: Path, text: str, mode: int) -> Source:
    entries: dict[str, Entry] = {}
    faults: list[str] = []
    warnings: list[str] = []
    for number, line in enumerate(map(str.strip, text.split("\n")), start=1):
        if not line or line.startswith("#"):
            continue
        origin = f"{path}:{number}"
        match = _LINE.match(line)
        if not match:
            faults.append(
                f"{origin}: {_NAME_START.findall(line)[0]}: expected a name, blanks and a value, without '='"
            )
            continue
        key, value = match[1], match[2] or ""
        if key in entries:
            warnings.append(f"{origin}: {key}: was set at {entries[key].origin} before; this one counts")
        entries[key] = Entry(key, value, origin)
    warnings += _open_secrets(path, entries, mode)
    return Source(path, entries, tuple(faults), tuple(warnings))


def _open_secrets(path: Path, entries: dict[str, Entry], mode: int) -> list[str]:
    """A file with a password that everybody on the machine may read or change is worth a word."""
    secret = any(entry.key.endswith(SECRET_ENDINGS) and entry.value for entry in entries.values())
    if not secret or not mode & (stat.S_IROTH | stat.S_IWOTH):
        return []
    return [f"{path}: holds a password and is open to every user of this machine; do `chmod o= {path}`"]
