"""Which `redirect` an agent follows: for what it has said itself, once, and not to everywhere (report, 2.2.4).

The manager that was asked names a referral, and what to say there. That is said word by word, with whatever the
manager put into it; but it must be what the agent is waiting for an answer to, or a manager could make it say anything.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection
from typing import Self

from copilot.errors import ProtocolError
from copilot.protocol import codec
from copilot.protocol.commands import Command, Redirect
from copilot.protocol.envelope import Element, bare
from copilot.records import dataclass
from copilot.runtime.component import Action, Send, Withdraw

REFERRALS_REMEMBERED = 32  # those that no job or request is about any more: an answer may come late

_PART = r"[^\x00-\x20\x7f\"&'/:<>@]{1,255}"  # RFC 7622, 3.3.1, and no longer than anybody needs
_ADDRESS = re.compile(rf"{_PART}@(?P<domain>{_PART})(/[^\x00-\x1f\x7f]{{1,255}})?")


class NotFollowed(Exception):
    """A redirect that has no effect; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Referral:
    """Whom to ask instead, and what to say there. `to` is a JID, which may have a resource."""

    to: str
    info: Element
    command: Command  # that `info`

    @classmethod
    def read(cls, redirect: Redirect, domains: Collection[str]) -> Self:
        """What a redirect says. Raises `NotFollowed` if that is not to be understood, or leads elsewhere."""
        to = redirect.referral
        address = _ADDRESS.fullmatch(to)
        if address is None:
            raise NotFollowed(f"the referral {to[:80]!r} is no Jabber ID like name@example.org")
        if address["domain"].lower() not in {domain.lower() for domain in domains}:
            raise NotFollowed(f"the domain of {to} is none of AGENT_REFERRAL_DOMAINS: {' '.join(domains)}")
        try:
            command, _ = codec.decode(redirect.info)
        except ProtocolError as error:
            raise NotFollowed(f"what to say to {to} cannot be read: {error}") from error
        return cls(to=to, info=redirect.info, command=command)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the agent has said and waits to have answered. `by`: who has redirected it to `to`, a bare JID."""

    to: str
    command: Command
    by: str = ""

    def redirected(self, sender: str, referral: Referral) -> Request | None:
        """The request as it goes to the referral; None if another instance of `sender` has redirected it already.

        Raises `NotFollowed` unless it is this request, was made to `sender`, and was not redirected before.
        """
        name = referral.command.NAME
        if _subject(referral.command) != _subject(self.command):
            raise NotFollowed(f"this {name} is not what we are waiting to have answered")
        if self.by == bare(sender):
            return None
        if self.by:
            raise NotFollowed(f"our {name} was redirected before, by {self.by}: it goes no further")
        if bare(sender) != bare(self.to):
            raise NotFollowed(f"our {name} was said to {self.to}")
        return Request(to=referral.to, command=referral.command, by=bare(sender))


def forward(old: Request, new: Request, referral: Referral, void_at: float | None = None) -> list[Action]:
    """Say it to the referral instead."""
    return [
        Withdraw(to=old.to, command=old.command),
        Send(to=new.to, command=new.command, info=referral.info, void_at=void_at),
    ]


class Named:
    """Bare JIDs of the referrals that were followed last."""

    def __init__(self) -> None:
        self._jids: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, jid: str) -> bool:
        return jid in self._jids

    def add(self, jid: str) -> None:
        """Remember the referral `jid` (with or without a resource)."""
        self._jids[bare(jid)] = None
        self._jids.move_to_end(bare(jid))
        if len(self._jids) > REFERRALS_REMEMBERED:
            self._jids.popitem(last=False)


def _subject(command: Command) -> tuple[object, ...]:
    """What makes two messages the same request: the command, and the claim on its job if it is about one."""
    return type(command), getattr(command, "job_id", None), getattr(command, "jm_job_data", None)
