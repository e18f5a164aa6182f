"""Who is meant by a list of Jabber IDs and domains: who may report, ask, come in."""

from __future__ import annotations

import unicodedata
from typing import Protocol

from copilot.protocol.envelope import bare
from copilot.records import dataclass


class Includes(Protocol):
    """Who is meant, now."""

    def include(self, jid: str) -> bool:
        """As `People.include`."""
        ...

    @property
    def accounts(self) -> list[str]:
        """As `People.accounts`."""
        ...


@dataclass(frozen=True, slots=True)
class People:
    """Bare JIDs and domains; a domain stands for all its accounts.

    Local and domain part are compared in lower case and as one form of Unicode, as servers do (RFC 7622, 3.2 and 3.3).
    """

    words: frozenset[str]

    @classmethod
    def of(cls, *words: str) -> People:
        """From words, in any case."""
        return cls(frozenset(map(_folded, words)))

    def include(self, jid: str) -> bool:
        """Whether somebody with this JID, full or bare, is among them. A domain alone is nobody."""
        account = _folded(bare(jid))
        local, at, domain = account.partition("@")
        return bool(local and at and domain) and (account in self.words or domain in self.words)

    def names(self, jid: str) -> bool:
        """Whether this account is among them by itself, not by its domain."""
        return _folded(bare(jid)) in self.words

    @property
    def accounts(self) -> list[str]:
        """Those who are named one by one."""
        return sorted(word for word in self.words if "@" in word)


class Circle:
    """People who may be others later: a daemon that reads its settings again says who."""

    def __init__(self, people: People) -> None:
        self.people = people

    def include(self, jid: str) -> bool:
        """As `People.include`."""
        return self.people.include(jid)

    @property
    def accounts(self) -> list[str]:
        """As `People.accounts`."""
        return self.people.accounts


def _folded(jid: str) -> str:
    return unicodedata.normalize("NFC", jid.lower())
