"""Who has to show what to get a ticket: a small file that nobody else may read.

Each line is a Jabber ID, or a domain for all its accounts, and after a blank what they have to show; the line of an account
goes before that of its domain. What is compared are digests, so that the time does not tell how much of it was right.
"""

from __future__ import annotations

import hashlib
import hmac
import stat
from collections.abc import Mapping
from pathlib import Path

from copilot.config.kinds import PEOPLE
from copilot.errors import ConfigError
from copilot.protocol.envelope import bare


class Credentials:
    """What is to be shown, by who shows it."""

    def __init__(self, wanted: Mapping[str, str]) -> None:
        self._wanted = {who: _digest(text) for who, text in wanted.items()}

    @classmethod
    def read(cls, path: Path) -> Credentials:
        """Raises `ConfigError` if others can read the file, or a line makes no sense; the text never shows a credential."""
        try:
            lines, mode = path.read_text().splitlines(), path.stat().st_mode
        except (OSError, ValueError) as error:
            raise ConfigError(f"the file of credentials {path} cannot be read: {error}") from error
        if stat.S_IMODE(mode) & 0o077:
            raise ConfigError(f"the file of credentials {path} can be read by others: chmod 600 {path}")
        wanted: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            if line.strip() and not line.startswith("#"):
                who, text = _entry(line, f"{path}:{number}")
                wanted[who] = text
        return cls(wanted)

    def accepts(self, jid: str, shown: str) -> bool:
        """Whether `jid` may say so; who has no line has nothing to show."""
        who = bare(jid)
        wanted = self._wanted.get(who) or self._wanted.get(who.partition("@")[2])
        return wanted is None or hmac.compare_digest(wanted, _digest(shown))


def _entry(line: str, where: str) -> tuple[str, str]:
    word, _, text = line.strip().partition(" ")
    try:
        [who] = PEOPLE.convert(word)
    except ValueError:
        text = ""
    if not text.strip():
        raise ConfigError(f"{where}: expected a Jabber ID or a domain, a blank, and what they have to show")
    return who, text.strip()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="replace")).digest()
