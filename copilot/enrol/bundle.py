"""The file that lets agents in: `NAME value` lines, like any configuration (decision 17).

Those that begin with BUNDLE_ are for joining; all others are settings of an agent, and go into its own configuration as they
are. So whoever makes a bundle may add settings for all agents that come by it.
"""

from __future__ import annotations

import base64
import binascii
import datetime
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TypeVar

from copilot.config.kinds import CERTIFICATE, HOST, JID, PORT, Kind
from copilot.config.source import Entry, read_source
from copilot.errors import ConfigError
from copilot.protocol.envelope import bare
from copilot.records import dataclass

T = TypeVar("T")

PREFIX = "BUNDLE_"
MAX_BYTES = 256 * 1024  # of a bundle that is read; one has 3 kB


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFile:
    """What a bundle says. `settings` are those of the agent; `expires` in seconds since the epoch; `public_keys` is the text of
    a file of public keys: those of the services."""

    id: str
    account: str  # bare JID
    password: str = field(repr=False)
    secret: str = field(repr=False)
    manager: str  # bare JID
    server: str
    port: int
    ca: str | None = None  # PEM
    public_keys: str
    expires: float | None = None
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def domain(self) -> str:
        """That of the accounts."""
        return self.account.partition("@")[2]


def read_bundle(path: Path) -> BundleFile:
    """A bundle from a file. Raises one `ConfigError` that names what is wrong and never shows a value."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(
                f"bundle {path}: expected a bundle, found a file of more than {MAX_BYTES} bytes"
            )
    except OSError as error:
        raise ConfigError(f"bundle {path}: cannot be read: {error.strerror}") from error
    source = read_source(path)
    if source is None or source.faults or "BUNDLE_ID" not in source.entries:
        raise ConfigError(f"bundle {path}: this is no bundle; 'copilot bundle create' makes one")
    reader = _Reader(path, source.entries)
    expires = reader.optional("BUNDLE_EXPIRES", Kind("a time like 2030-01-31T12:00:00Z", _time))
    return BundleFile(
        id=reader.needed("BUNDLE_ID", _TEXT),
        account=bare(reader.needed("BUNDLE_ACCOUNT", JID)),
        password=reader.needed("BUNDLE_PASSWORD", _TEXT),
        secret=reader.needed("BUNDLE_SECRET", _TEXT),
        manager=bare(reader.needed("JM_JABBER_ADDRESS", JID)),
        server=reader.needed("AGENT_JABBER_SERVER", HOST),
        port=reader.needed("AGENT_JABBER_PORT", PORT),
        ca=reader.optional("AGENT_JABBER_CA", CERTIFICATE),
        public_keys=reader.needed("BUNDLE_PUBLIC_KEYS", _KEYS),
        expires=expires,
        settings={
            key: entry.value
            for key, entry in source.entries.items()
            if not key.startswith(PREFIX) and entry.value
        },
    )


def bundle_text(bundle: BundleFile, agents: int) -> str:
    """The file. `ca` is not written: it stands in `settings`, as all of the agent's."""
    until = "" if bundle.expires is None else f", until {when(bundle.expires)}"
    many = "one agent" if agents == 1 else f"{agents} agents"
    own = {
        "BUNDLE_ID": bundle.id,
        "BUNDLE_ACCOUNT": bundle.account,
        "BUNDLE_PASSWORD": bundle.password,
        "BUNDLE_SECRET": bundle.secret,
        "BUNDLE_EXPIRES": "" if bundle.expires is None else when(bundle.expires),
        "BUNDLE_PUBLIC_KEYS": base64.b64encode(bundle.public_keys.encode()).decode(),
    }
    lines = [
        f"# Lets {many} in at {bundle.manager}{until}: copilot-agent --join FILE",
        "# Keep it to yourself: whoever has it can join, and take jobs. It gives no other right.",
        *(f"{key} {value}" for key, value in {**own, **bundle.settings}.items() if value),
    ]
    return "\n".join(lines) + "\n"


def when(time: float) -> str:
    """A time for people and for files, in UTC."""
    return datetime.datetime.fromtimestamp(time, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Reader:
    """Values by key; a fault names the file and the key."""

    def __init__(self, path: Path, entries: Mapping[str, Entry]) -> None:
        self._path = path
        self._entries = entries

    def needed(self, key: str, kind: Kind[T]) -> T:
        value = self.optional(key, kind)
        if value is None:
            raise ConfigError(f"bundle {self._path}: {key}: missing; expected {kind.expects}")
        return value

    def optional(self, key: str, kind: Kind[T]) -> T | None:
        entry = self._entries.get(key)
        if entry is None or not entry.value:
            return None
        try:
            return kind.convert(entry.value)
        except ValueError:
            raise ConfigError(
                f"bundle {self._path}: {key}: expected {kind.expects}, found something else"
            ) from None


def _time(text: str) -> float:
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z").timestamp()


def _keys(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("ascii")
    except binascii.Error as error:
        raise ValueError from error


def _text(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError
    return text


_TEXT = Kind("printable ASCII characters", _text)
_KEYS = Kind("public keys as base64 in one line", _keys)
