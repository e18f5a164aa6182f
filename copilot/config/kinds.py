"""Kinds of values: what a person is told to write, and how the text becomes a value.

`convert` raises `ValueError` for anything else; the loader says where and what was expected.
"""

from __future__ import annotations

import base64
import enum
import ipaddress
import os
import re
import shlex
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

from copilot.patterns import pattern
from copilot.records import dataclass

T = TypeVar("T")
E = TypeVar("E", bound=enum.StrEnum)

_DURATION = pattern(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)\Z")
_DURATION_PARTS = pattern(r"(?:(?P<d>[0-9]+)d)?(?:(?P<h>[0-9]+)h)?(?:(?P<m>[0-9]+)m)?(?:(?P<s>[0-9]+)s)?\Z")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE = pattern(r"([0-9]+) ?(B|KiB|MiB|GiB|TiB)?\Z")
_BYTES = {None: 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_FLAG = {
    "0": False,
    "no": False,
    "off": False,
    "false": False,
    "1": True,
    "yes": True,
    "on": True,
    "true": True,
}
_HOST_LABEL = pattern(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\Z")
_LOCAL_PART = pattern(r"[^\s\"&'/:<>@]{1,255}\Z")  # RFC 7622, 3.3.1
_SUBJECT = pattern(r"[a-z]{1,20}:[!-~]{1,250}\Z")
_NAME = pattern(r"[A-Za-z0-9._:-]{1,128}\Z")
_AGENT_CLASS = pattern(r"[a-z][a-z0-9-]{0,31}\Z")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of value; `expects` completes the sentence "expected …"."""

    expects: str
    convert: Callable[[str], T]


class Tls(enum.StrEnum):
    """Whether the connection to the XMPP server must be encrypted."""

    REQUIRED = "required"
    OFF = "off"


class LogFormat(enum.StrEnum):
    """How a log line looks."""

    REPORT = "report"
    JSON = "json"


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


def is_loopback(host: str) -> bool:
    """Whether `host` can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def whole(low: int, high: int | None = None) -> Kind[int]:
    """A whole number from `low` to `high`, both included."""

    def convert(value: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", value):
            raise ValueError
        number = int(value)
        if number < low or (high is not None and number > high):
            raise ValueError
        return number

    return Kind(f"a whole number from {low}" + ("" if high is None else f" to {high}"), convert)


def duration(low: float) -> Kind[float]:
    """Seconds, at least `low`."""

    def convert(value: str) -> float:
        if match := _DURATION.match(value):
            seconds = float(match[1]) * _SECONDS[match[2]]
        elif value and (match := _DURATION_PARTS.match(value)):
            seconds = sum(float(number or 0) * _SECONDS[unit] for unit, number in match.groupdict().items())
        else:
            raise ValueError
        if seconds < low:
            raise ValueError
        return seconds

    return Kind(f"seconds from {low:g}, or a time like 10m, 2h or 7d", convert)


def _agent_class(value: str) -> str:
    if not _AGENT_CLASS.match(value):
        raise ValueError
    return value


def _leases(value: str) -> Mapping[str, float]:
    words = [word.partition("=") for word in value.split()]
    leases = {_agent_class(name): LEASE.convert(seconds) for name, _, seconds in words}
    if len(leases) < len(words):
        raise ValueError
    return leases


def choice(options: type[E]) -> Kind[E]:
    """One of the values of an enum."""
    return Kind(" or ".join(f"'{option}'" for option in options), options)


def _text(value: str) -> str:
    if not value.isprintable():
        raise ValueError
    return value


def _size(value: str) -> int:
    match = _SIZE.match(value)
    if not match or int(match[1]) == 0:
        raise ValueError
    return int(match[1]) * _BYTES[match[2]]


def _share(value: str) -> float:
    if not re.fullmatch(r"0\.[0-9]{1,3}|1", value) or not float(value):
        raise ValueError
    return float(value)


def _flag(value: str) -> bool:
    try:
        return _FLAG[value.lower()]
    except KeyError:
        raise ValueError from None


def _host(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        labels = value.removesuffix(".").split(".")
        # A last label of digits alone is a mistyped IPv4 address, never a name.
        if len(value) > 253 or labels[-1].isdigit() or not all(map(_HOST_LABEL.match, labels)):
            raise
        return value.lower()


def _hosts(value: str) -> tuple[str, ...]:
    return tuple(_host(word) for word in value.split())


def _address(value: str) -> Address:
    host, colon, port = value.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        raise ValueError
    return Address(_host(host.removeprefix("[").removesuffix("]")), PORT.convert(port))


def _address_or_off(value: str) -> Address | None:
    return None if value.lower() == "off" else _address(value)


def _addresses(value: str) -> tuple[Address, ...]:
    words = value.replace(",", " ").split()
    if not words:
        raise ValueError
    return tuple(dict.fromkeys(map(_address, words)))


def _local_part(value: str) -> str:
    if not value.isprintable() or not _LOCAL_PART.match(value):
        raise ValueError
    return value.lower()


def _jid(value: str) -> str:
    local, _, domain = value.partition("@")
    return f"{_local_part(local)}@{_host(domain)}"


def _people(value: str) -> tuple[str, ...]:
    words = [_jid(word) if "@" in word else _host(word) for word in value.replace(",", " ").split()]
    if not words:
        raise ValueError
    return tuple(dict.fromkeys(words))


def _people_or_none(value: str) -> tuple[str, ...]:
    return () if value == "none" else _people(value)


def _resource(value: str) -> str:
    if len(value.encode()) > 1023:  # RFC 7622, 3.4
        raise ValueError
    return _text(value)


def _name(value: str) -> str:
    if not _NAME.match(value):
        raise ValueError
    return value


def _names(value: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(_name, value.split())))


def _subjects(value: str) -> tuple[str, ...]:
    words = value.split()
    if not words or not all(map(_SUBJECT.match, words)):
        raise ValueError
    return tuple(dict.fromkeys(words))


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError
    if parts.query or parts.fragment or not value.isprintable() or " " in value:
        raise ValueError
    _host(parts.hostname)
    if parts.port == 0:  # reading it checks it, too
        raise ValueError
    return value.rstrip("/")


def _path(value: str) -> Path:
    path = Path(_text(value))
    if not path.is_absolute():
        raise ValueError
    return path


def _readable_file(value: str) -> Path:
    path = _path(value)
    if not os.access(path, os.R_OK) or not path.is_file():
        raise ValueError
    return path


def _command(value: str) -> tuple[str, ...]:
    return tuple(shlex.split(_text(value)))


def _certificate(value: str) -> str:
    pem = ssl.DER_cert_to_PEM_cert(base64.b64decode(value, validate=True))
    try:
        ssl.create_default_context(cadata=pem)
    except ssl.SSLError as error:
        raise ValueError from error
    return pem


def _suites(value: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(value.split()))
    if not words or not set(words) <= {"v1", "v2"}:
        raise ValueError
    return words


def _gpus(value: str) -> tuple[str, ...] | None:
    if value == "auto":
        return None
    if value.isascii() and value.isdigit():
        return tuple(map(str, range(whole(0, 255).convert(value))))
    names = tuple(dict.fromkeys(word for word in value.split(",") if word))
    if not 1 <= len(names) <= 255 or not all(_NAME.match(name) and name[0].isalnum() for name in names):
        raise ValueError
    return names


TEXT = Kind("text without control characters", _text)
FLAG = Kind("0 or 1 (or no/yes, off/on, false/true)", _flag)
PORT = Kind("a port number from 1 to 65535", whole(1, 65535).convert)
SIZE = Kind("bytes, or a size like 500 MiB or 10 GiB", _size)
SHARE = Kind("a share like 0.8, above 0 and up to 1", _share)
HOST = Kind("a host name or an IP address, without port", _host)
HOSTS = Kind("host or domain names, separated by blanks", _hosts)
ADDRESS = Kind("host:port ([host]:port for IPv6)", _address)
ADDRESS_OR_OFF = Kind("host:port ([host]:port for IPv6), or off", _address_or_off)
ADDRESSES = Kind("host:port ([host]:port for IPv6), several separated by blanks or commas", _addresses)
LOCAL_PART = Kind("the part of a Jabber ID that stands before the '@'", _local_part)
JID = Kind("a Jabber ID like name@example.org, without a resource", _jid)
PEOPLE = Kind(
    "Jabber IDs without a resource, and domains for all their accounts, separated by blanks or commas",
    _people,
)
PEOPLE_OR_NONE = Kind(f"{PEOPLE.expects}, or none", _people_or_none)
RESOURCE = Kind("a Jabber resource of at most 1023 bytes", _resource)
NAME = Kind("a name of letters, digits and . _ : -", _name)
NAMES = Kind("names of letters, digits and . _ : -, separated by blanks", _names)
SUBJECTS = Kind(
    "Chirp subjects like hostname:*.example.org, address:192.0.2.* or ticket:<name>, separated by blanks",
    _subjects,
)
GPUS = Kind(
    "auto (those of NVIDIA that are found), how many there are (0 to 255), or their numbers or names with commas between them (0,2; only number 1: 1,)",
    _gpus,
)
URL = Kind("an http:// or https:// address without user, query or fragment", _url)
CERTIFICATE = Kind("a certificate as base64 of its DER form, in one line", _certificate)
AGENT_CLASS = Kind("a word of at most 32 of the characters a-z, 0-9 and -, the first a letter", _agent_class)
LEASE = duration(5)
LEASES = Kind(
    "words for classes of agents with the length of their leases, 5 s or more, like laptop=4h volunteer=600, each word once",
    _leases,
)
RETENTION = duration(3600)  # requests and reports of a job that was just over may still be on their way
PATH = Kind("an absolute path", _path)
READABLE_FILE = Kind("the absolute path of a readable file", _readable_file)
COMMAND = Kind("a command with its arguments, quoted as for a shell", _command)
SUITES = Kind("v2, v1 or both, separated by a blank", _suites)
TLS = choice(Tls)
LOG_FORMAT = choice(LogFormat)
