"""The words of Chirp: how a request is written, what an answer may be, and what its error numbers mean to us.

Knows no socket. A request is one line, an answer begins with one line holding a number; negative ones are errors.
The form is that of `chirp_server` (cctools 9.9); nothing here trusts the server: lines, numbers and lists are bounded.
"""

from __future__ import annotations

import re
import stat as posix
from typing import Final, Self

from copilot.errors import (
    BadName,
    NoSpace,
    TransferError,
    TransferRefused,
    TransferUnavailable,
)
from copilot.job import check_relative_name
from copilot.records import dataclass

DEFAULT_PORT = 9094
MAX_LINE = (
    1024  # bytes, the server's own limit; it cuts what is longer, and would take the rest for a command
)
MAX_ENTRIES = 100_000  # of a directory or an access list
MAX_SIZE = 1 << 50  # bytes of a file; more is a lie

NOT_AUTHORIZED: Final = -2
DOES_NOT_EXIST: Final = -3
EXISTS: Final = -4
NO_SPACE: Final = -6
IS_DIRECTORY: Final = -13
NOT_DIRECTORY: Final = -14

_NUMBER = re.compile(rb"-?[0-9]{1,18}", re.ASCII)
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+=,@:~")
_SUBJECT = re.compile(r"[a-z]{1,20}:[!-~]{1,250}", re.ASCII)
_RIGHTS = re.compile(r"(?=.)[rwldpax]*(v(\([rwldpaxv]*\))?)?", re.ASCII)
_NO_RIGHTS = "n"
_OWN_PREFIX = ".__"  # names that the server keeps for itself: access lists and tickets
_STAT_FIELDS = 13  # device, inode, mode, links, user, group, rdev, size, block size, blocks, three times

_REFUSALS = {
    -1: "we are not logged in there",
    NOT_AUTHORIZED: "we have no right to do this; ask for rights on the directory (`setacl`) or for a ticket",
    DOES_NOT_EXIST: "there is no such file or directory; check that it was stored",
    EXISTS: "it is there already; remove it first or choose another name",
    -5: "it is larger than the server takes; make it smaller",
    -8: "the server does not know this request; is it older than cctools 3?",
    -12: "the server lost the open file; check its log",
    IS_DIRECTORY: "it is a directory; name a file",
    NOT_DIRECTORY: "a part of the path is no directory; check the path",
    -15: "the directory is not empty; empty it first",
    -16: "the two names are on different disks; choose names on one disk",
    -22: "it is a pipe; name a file",
    -23: "the server does not support this; check how it was started",
}
_PASSING = {
    -7: "the server is out of memory",
    -9: "the server has too many open files",
    -10: "it is in use there",
    -11: "the server wants us to try again",
    -17: "the server's storage is offline",
    -18: "the server's storage did not answer in time",
    -19: "the server's storage broke off",
    -20: "the server cannot look up groups",
}


class ServerError(Exception):
    """The server answered with a negative number: `code`. The answer is complete, the connection is well."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Chirp error {code}")
        self.code = code


class NotChirp(Exception):
    """The server said something that the protocol does not allow; whatever comes next cannot be understood."""


def meaning(error: ServerError, what: str) -> TransferError:
    """The error of ours that the server's number stands for; `what` begins the text."""
    if error.code == NO_SPACE:
        return NoSpace(f"{what}: the server's disk is full; free space there and try again")
    if reason := _REFUSALS.get(error.code):
        return TransferRefused(f"{what}: {reason}")
    reason = _PASSING.get(error.code, f"the server answered with error {error.code}")
    return TransferUnavailable(f"{what}: {reason}; try again later")


def request(*words: str | int) -> bytes:
    """The line for these words, which hold no blanks. Raises TransferRefused if it is too long for the server."""
    line = " ".join(map(str, words)).encode("ascii") + b"\n"
    if len(line) >= MAX_LINE:
        raise TransferRefused(
            f"{words[0]} {str(words[1])[:100]}…: {len(line)} bytes when written as Chirp does, the server takes "
            f"{MAX_LINE - 1}; use shorter names"
        )
    return line


def encode_path(path: str) -> str:
    """`path` as it goes over the wire: absolute, and percent-encoded but for plain characters.

    Raises TransferRefused for what is no clean path: `..`, empty parts, control characters, the server's own names.
    """
    relative = path.removeprefix("/")
    try:
        if relative:
            check_relative_name(relative)
        raw = relative.encode()
    except (BadName, UnicodeEncodeError) as error:
        raise TransferRefused(f"Chirp path {path[:140]!r}: {error}") from error
    if any(part.startswith(_OWN_PREFIX) for part in relative.split("/")):
        raise TransferRefused(
            f"Chirp path {path[:140]!r}: names with {_OWN_PREFIX} are the server's own; choose another"
        )
    return "/" + "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in raw)


def check_subject(text: str) -> str:
    """Return `text` if it names whom rights are for: `unix:alice`, `hostname:*.example.org`, `ticket:<md5>`."""
    if not _SUBJECT.fullmatch(text):
        raise TransferRefused(
            f"Chirp subject {text[:140]!r}: expected method:name without blanks, such as hostname:*.example.org"
        )
    return text


def check_rights(text: str) -> str:
    """Letters of `rwldpaxv`, as they go over the wire; the empty text (no rights) has a letter of its own."""
    if not text:
        return _NO_RIGHTS
    if not _RIGHTS.fullmatch(text):
        raise TransferRefused(
            f"Chirp rights {text[:40]!r}: expected letters of rwldpax, v or v(…) last, or nothing"
        )
    return text


def parse_number(line: bytes) -> int:
    """The number that a line holds. Raises NotChirp."""
    if not _NUMBER.fullmatch(line):
        raise NotChirp(f"{line[:40]!r} where a number was expected")
    return int(line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """What the server says about a name: POSIX mode, size in bytes, last change in seconds since the epoch."""

    mode: int
    size: int
    modified: int

    @property
    def is_directory(self) -> bool:
        return posix.S_ISDIR(self.mode)

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """From the line of thirteen numbers. Raises NotChirp."""
        numbers = [parse_number(word) for word in line.split()]
        if len(numbers) != _STAT_FIELDS or numbers[2] < 0 or not 0 <= numbers[7] <= MAX_SIZE:
            raise NotChirp(f"{line[:80]!r} where a file's facts were expected")
        return cls(mode=numbers[2], size=numbers[7], modified=numbers[11])
