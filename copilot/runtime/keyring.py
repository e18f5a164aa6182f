"""The keys of a component as they stand in its files: read again when a file changes, so nobody has to start anything again.

Services have one key file for all their instances. Agents have a second file of public keys in their work directory: what a
service has told them of new keys of its own (`newkeys.py`). Of the two files the one that was written last counts.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import field
from pathlib import Path

from copilot.errors import ConfigError
from copilot.log import rate_limited
from copilot.protocol.crypto import v2
from copilot.protocol.crypto.keys import PrivateKeys, PublicKeys, kid, public_text
from copilot.protocol.envelope import bare
from copilot.protocol.session import Pinned
from copilot.records import dataclass
from copilot.runtime.keys import load_keys, load_public_keys

log = logging.getLogger("copilot.keys")

LEARNED = "services.learned.pub"  # beside an agent's key file
LOOK_AGAIN = 2.0  # s


@dataclass(slots=True)
class _Watched:
    """A file, and what it looked like when it was read."""

    path: Path
    seen: tuple[int, int, int] | None = None

    def changed(self) -> bool:
        """Whether it has to be read (again)."""
        before, self.seen = self.seen, self.look()
        return self.seen is not None and self.seen != before

    def look(self) -> tuple[int, int, int] | None:
        """None: it is not there."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino)


@dataclass(frozen=True, slots=True)
class _Service:
    """What we know of a service."""

    pinned: tuple[Pinned, ...] = ()
    signers: tuple[str, ...] = ()


@dataclass(slots=True)
class _Read:
    """What was read last."""

    private: PrivateKeys = field(default_factory=PrivateKeys)
    opening: dict[str, v2.OpeningKey] = field(default_factory=dict)
    services: dict[str, _Service] = field(default_factory=dict)


class FileRing:
    """A `KeyRing` over files. Raises `ConfigError` if one cannot be used at the start; later it keeps what it has."""

    def __init__(
        self,
        key_file: Path,
        public_keys: Path,
        *,
        now: Callable[[], float],
        make: Callable[[], PrivateKeys] | None = None,
        learned: Path | None = None,
    ) -> None:
        """`make` makes the key file if there is none; `learned`: the file of `learn`, see `LEARNED`."""
        self._now = now
        self._key_file = _Watched(key_file)
        self._public = _Watched(public_keys)
        self._learned = None if learned is None else _Watched(learned)
        self._read = _Read()
        self._looked = now()
        self._read_private(load_keys(key_file, make))
        self._key_file.changed()
        self._read_public()

    def signing(self) -> v2.SigningKey | None:
        """See `KeyRing.signing`."""
        return self._read.private.signing[0] if self._read.private.signing else None

    def opening(self, kid: str) -> v2.OpeningKey | None:
        """See `KeyRing.opening`. One that is not there may have come: another instance may have been told before us."""
        if kid not in self._read.opening:
            self.refresh()
        return self._read.opening.get(kid)

    def pinned(self, jid: str) -> Sequence[Pinned]:
        """See `KeyRing.pinned`."""
        return self._read.services.get(jid, _Service()).pinned

    def signers(self, jid: str) -> tuple[str, ...]:
        """The signing keys of a service (bare JID), as in `copilot.roles.Account.key`."""
        return self._read.services.get(jid, _Service()).signers

    @property
    def private(self) -> PrivateKeys:
        """Our own, the newest first."""
        return self._read.private

    def refresh(self) -> None:
        """Read what has changed; looks at the files at most once in `LOOK_AGAIN`."""
        now = self._now()
        if now < self._looked + LOOK_AGAIN:
            return
        self._looked = now
        try:
            if self._key_file.changed():
                self._read_private(load_keys(self._key_file.path))
                log.info("The key file %s was read again.", self._key_file.path)
            self._read_public()
        except ConfigError as error:
            rate_limited(log, "keys", logging.ERROR, "%s; what was read before still counts", error)

    def learn(self, jid: str, keys: PublicKeys) -> None:
        """A service (bare JID) has these keys from now on, and no others: kept in the file of what was learned, together with all
        that we know of other services. Raises `OSError`."""
        assert self._learned is not None, "only agents learn keys"
        known = self._newest()
        text = public_text({**known, bare(jid): keys})
        _replace(self._learned.path, text)
        self._looked = self._now()
        self._read_public()

    def _read_private(self, keys: PrivateKeys) -> None:
        self._read.private = keys
        self._read.opening = {kid(key.public_key()): key for key in keys.opening}

    def _read_public(self) -> None:
        files = [self._public] if self._learned is None else [self._public, self._learned]
        changed = [one.changed() for one in files]
        if any(changed):
            self._read.services = {
                bare(jid): _Service(
                    tuple(Pinned(kid(key), key) for key in keys.opening),
                    tuple(map(v2.public_form, keys.signing)),
                )
                for jid, keys in self._newest().items()
            }

    def _newest(self) -> dict[str, PublicKeys]:
        """The keys in the file that was written last."""
        files = [one for one in (self._public, self._learned) if one is not None and one.look() is not None]
        if not files:
            return {}
        return load_public_keys(max(files, key=lambda one: one.look() or (0, 0, 0)).path)


def _replace(path: Path, text: str) -> None:
    """Write a file that only its user reads, in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
