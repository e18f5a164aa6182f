"""What the agent must not forget over its own death: one note per attempt, all of them in `<journal>/notes`.

The file lies beside the attempts' directories, not in them: what a payload does to its own leaves it alone. (It runs as
the agent's user, so nothing but a sandbox with users of its own could keep it from trying.)

A note is a line, `+` and JSON. A newer one of the same attempt follows at the end; then a `-` takes the place of the `+`
of the one before. To forget needs no room, so it works on a full disk, too. Lines that count no more go when they are
most of the file.

A note is written before the job is acknowledged. No fsync: a power cut of the agent's machine is covered by the
manager's time limits (protocol page, section 1, "Durable").
"""

from __future__ import annotations

import json
import logging
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from copilot.agent.effects import Assignment, Note
from copilot.errors import BadName
from copilot.job import check_job_id
from copilot.records import dataclass

log = logging.getLogger("copilot.agent")

LARGEST = 1024 * 1024  # bytes of the file, unless more than half of them count
_LIVES, _OVER = b"+", b"-"


def attempt_name(assignment: Assignment) -> str:
    """`<job>.a<attempt>`, also the name of the attempt's directory. Raises `BadName` for a bad job id."""
    return f"{check_job_id(assignment.id)}.a{assignment.job.attempt or 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A note, and the packed output if that is small."""

    note: Note
    package: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    """Where a note stands in the file."""

    start: int
    size: int


class Journal:
    """The notes of one agent. Methods raise OSError if the disk does not do it: then nothing has changed."""

    def __init__(self, directory: Path) -> None:
        """Makes nothing yet. Nobody else writes there."""
        self._path = directory / "notes"
        self._lines: dict[str, _Line] = {}  # that count, by attempt
        self._end = 0
        self._file: int | None = None

    def read(self) -> list[Kept]:
        """What a former life has left, in the order in which it was written; call it first.

        Lines that cannot be read are named in the log, and a copy of the file is left beside it.
        """
        text = self._path.read_bytes() if self._path.exists() else b""
        kept: dict[str, Kept] = {}
        damaged = False
        for number, line in enumerate(text.split(b"\n"), 1):
            if line and not line.startswith(_OVER):
                try:
                    one = _parse(line)
                    name = attempt_name(one.note.assignment)
                except (ValueError, KeyError, TypeError, AttributeError, BadName) as error:
                    said = f"{type(error).__name__}: {error}"
                    log.error("%s, line %d cannot be read: %s", self._path, number, said)
                    damaged = True
                else:
                    kept[name] = one
                    self._lines[name] = _Line(self._end, len(line) + 1)
            self._end += len(line) + 1
        self._end = text.rfind(b"\n") + 1  # what follows is the part of a line that a crash has left
        self._tidy_up(text, kept, damaged=damaged)
        return list(kept.values())

    def _tidy_up(self, text: bytes, kept: Mapping[str, Kept], *, damaged: bool) -> None:
        """A disk without room for that is no reason not to report what is here."""
        with suppress(OSError):
            if damaged:
                self._path.with_suffix(".damaged").write_bytes(text)
            if text:
                self._write_anew([_text(one.note, one.package) for one in kept.values()], list(kept))

    def keep(self, note: Note, package: bytes | None = None) -> None:
        """Remember `note`, with the output if that is small, in the place of the one before on the same attempt."""
        name, text = attempt_name(note.assignment), _text(note, package)
        file = self._opened()
        try:
            _write(file, text, self._end)
        except OSError:
            os.ftruncate(file, self._end)
            raise
        self._strike(name)
        self._lines[name] = _Line(self._end, len(text))
        self._end += len(text)

    def drop(self, assignment: Assignment) -> None:
        """Forget the note of this attempt; a missing one is fine."""
        self._strike(attempt_name(assignment))
        if self._end > LARGEST and 2 * sum(line.size for line in self._lines.values()) < self._end:
            with suppress(OSError):  # the next one tries again
                self._compact()

    def _strike(self, name: str) -> None:
        line = self._lines.get(name)
        if line is not None:
            os.pwrite(self._opened(), _OVER, line.start)
            del self._lines[name]

    def _compact(self) -> None:
        file = self._opened()
        lines = [os.pread(file, line.size, line.start) for line in self._lines.values()]
        self._write_anew(lines, list(self._lines))

    def _write_anew(self, texts: list[bytes], names: list[str]) -> None:
        """Have nothing but these in the file. A crash leaves the old one or the new."""
        new = self._path.with_suffix(".new")
        new.write_bytes(b"".join(texts))
        new.replace(self._path)
        self.close()
        self._lines, self._end = {}, 0
        for name, text in zip(names, texts, strict=True):
            self._lines[name] = _Line(self._end, len(text))
            self._end += len(text)

    def _opened(self) -> int:
        if self._file is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._file

    def close(self) -> None:
        """Give the file back; it is opened again when it is needed. Idempotent."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _text(note: Note, package: bytes | None) -> bytes:
    data = {
        "note": note.to_data(),
        "package": None if package is None else b64encode(package).decode("ascii"),
    }
    return _LIVES + json.dumps(data, separators=(",", ":")).encode() + b"\n"


def _parse(line: bytes) -> Kept:
    """The inverse. Raises what `Note.from_data` raises, or AttributeError for what is no object."""
    data = json.loads(line.removeprefix(_LIVES))
    package = data.get("package")
    return Kept(
        note=Note.from_data(data["note"]),
        package=None if package is None else b64decode(package, validate=True),
    )


def _write(file: int, text: bytes, at: int) -> None:
    rest = memoryview(text)
    while rest:
        written = os.pwrite(file, rest, at)
        rest, at = rest[written:], at + written
