"""The part of a job manager that lets new agents in (decision 17).

The record comes first, then the account on the XMPP server, then the answer. Whoever dies between two of these leaves
nothing wrong: the same key again gets the same account, and nothing is counted.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable

from copilot.enrol.errands import Errands
from copilot.enrol.names import agent_jid, checked_key, secret_hash
from copilot.errors import AccountRefused, BadName
from copilot.log import PeerRef
from copilot.protocol.commands import Enrol, Enrolled
from copilot.protocol.envelope import bare
from copilot.protocol.events import Received
from copilot.records import dataclass
from copilot.roles import Account, Standing
from copilot.runtime.component import Actions, Event, Refuse, Send, Withhold
from copilot.store.accounts import AccountStore, Entry

log = logging.getLogger("copilot.accounts")


@dataclass(frozen=True, slots=True, kw_only=True)
class _No:
    """What an agent is told that does not come in."""

    code: str
    text: str


NO = {
    Entry.UNKNOWN: _No(
        code="bundle-unknown", text="this service knows no such bundle, or its secret is another one"
    ),
    Entry.EXPIRED: _No(code="bundle-expired", text="the bundle has expired"),
    Entry.REVOKED: _No(code="bundle-revoked", text="the bundle was revoked, or the agent with this key"),
    Entry.USED_UP: _No(code="bundle-used-up", text="the bundle has let in as many agents as it may"),
    Entry.TAKEN: _No(code="bundle-taken", text="the account that belongs to this key is somebody else's"),
}


class Enrolment:
    """Answers `enrol`. Whether somebody may say that is known before it comes here (`roles.MAY_SAY`)."""

    def __init__(self, store: AccountStore, errands: Errands, *, domain: str) -> None:
        """`domain`: where new accounts are made."""
        self._store = store
        self._errands = errands
        self._domain = domain

    def handle(self, event: Event, now: float) -> Actions | Awaitable[Actions]:  # noqa: ARG002  # as Component has it
        """As `Component.handle`."""
        if isinstance(event, Received) and isinstance(event.command, Enrol):
            return self._enrol(event, event.command)
        return []

    def wakeup(self) -> None:
        """It wants no ticks."""

    async def _enrol(self, received: Received, command: Enrol) -> Actions:
        if not received.sealed or received.key != command.key:
            text = "an agent comes in by a sealed session that is signed with its key: it needs a bundle of this version"
            return [Refuse(received=received, code="not-sealed", text=text)]
        try:
            jid = agent_jid(checked_key(command.key), self._domain)
            enrolled = await self._store.enrol(
                by=bare(received.sender),
                bundle=command.bundle,
                secret_hash=secret_hash(command.secret),
                account=Account(jid=jid, standing=Standing.AGENT, key=command.key),
                password=command.password,
            )
        except (BadName, ValueError) as error:
            return [Refuse(received=received, code="bad-value", text=str(error))]
        if enrolled.account is None:
            no = NO[enrolled.entry]
            return [Refuse(received=received, code=no.code, text=no.text)]
        if enrolled.entry is Entry.ENROLLED:
            log.info("%s has come in by bundle %s", PeerRef(jid), command.bundle)
        try:
            if not await self._errands.settle(jid):
                return [Withhold()]
        except AccountRefused as error:
            if error.no_admin:
                text = "this service cannot make accounts now; its operator finds why in the log of the job manager"
                return [Refuse(received=received, code="no-accounts", text=text)]
            log.warning("%s has no account yet: %s", PeerRef(jid), error)
            return [Withhold()]
        return [Send(to=received.sender, command=Enrolled(jid=jid))]
