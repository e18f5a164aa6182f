"""What people with accounts want from afar, by the dashboard or by messages: who may want what, and what became of it.

The wishes are those of the command line (`operate`), in the name of the account, which is looked up anew for each: who is revoked has
no more wishes. A submitter's are for the jobs that are his, or his projects'; all else is as if it were not there. What somebody with
an account wants and is not allowed is on the audit trail, too.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Sequence

from copilot.actor import Actor, Via, acting
from copilot.client.operating import Verb, operate
from copilot.client.selection import Part, Selection, read_selection, resolve
from copilot.client.slices import operate_part
from copilot.errors import BadName, UnknownJob
from copilot.job import one_line
from copilot.records import dataclass
from copilot.roles import LOOKS_AFTER_ALL, Account, Standing, looks_after
from copilot.store.accounts import check_jid
from copilot.store.base import Store

MOST = 50  # jobs or agents of one wish
PEOPLE = frozenset({Standing.SUBMITTER, Standing.OPERATOR, Standing.ADMIN})


class AgentVerb(enum.StrEnum):
    """What can be wanted of an agent."""

    DRAIN = "drain"
    QUARANTINE = "quarantine"
    RELEASE = "release-agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What became of a wish for one job or agent. `changed`: of how many jobs or elements something is other than before."""

    target: str
    ok: bool
    text: str
    changed: int = 0


class NotAllowed(Exception):
    """Whoever wants that may not; the text is for him."""


class Desk:
    """Over one queue."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def person(self, jid: str) -> Account | None:
        """The account of a person, if it counts. Raises `StoreUnavailable`."""
        account = await self._store.account(jid)
        if account is None or account.standing not in PEOPLE or not account.counts(time.time()):
            return None
        return account

    async def act(
        self, jid: str, verb: str, targets: Sequence[str], *, reason: str = "", via: Via, place: str
    ) -> tuple[Said, ...]:
        """Carry it out in the name of `jid`. Raises `NotAllowed`, `BadName`, and `StoreUnavailable`: then the same may be asked again."""
        account = await self.person(jid)
        if account is None:
            raise NotAllowed("this account may do nothing here")
        who = Actor(name=account.jid, via=via, standing=account.standing, place=place)
        if not 1 <= len(targets) <= MOST:
            raise BadName(f"{len(targets)} jobs or agents: expected 1 to {MOST}")
        reason = one_line(reason)
        with acting(who):
            if verb in set(AgentVerb):
                wish, agents = AgentVerb(verb), [check_jid(agent) for agent in dict.fromkeys(targets)]
                if account.standing not in LOOKS_AFTER_ALL:
                    await self._store.refused(wish, agents, reason=reason)
                    raise NotAllowed("only operators look after agents")
                return tuple([await self._agent(wish, agent, account, reason) for agent in agents])
            try:
                wanted = Verb(verb)
            except ValueError:
                known = ", ".join((*Verb, *AgentVerb))
                raise BadName(f"{one_line(verb[:40])!r}: expected one of {known}") from None
            jobs = [read_selection(job) for job in dict.fromkeys(targets)]
            return tuple([await self._job(wanted, job, account, reason) for job in jobs])

    async def operate(self, jid: str, wish: str, target: str, *, reason: str, place: str) -> Said:
        """One wish for a job, an array or elements of one, or an agent, said by message from `place`. Raises as `act`, but `NotAllowed`."""
        try:
            (said,) = await self.act(jid, wish, [target], reason=reason, via=Via.XMPP, place=place)
        except NotAllowed as error:
            return Said(target=target, ok=False, text=str(error))
        return said

    async def may_see(self, account: Account, job: str) -> bool:
        """Whether a job is there, and this account may look after it."""
        record = await self._store.get(job)
        return record is not None and looks_after(account, record.spec.owner, record.spec.project)

    async def _job(self, verb: Verb, named: Selection, account: Account, reason: str) -> Said:
        """A job, or an array or some of its elements."""
        if account.standing not in LOOKS_AFTER_ALL and not await self.may_see(account, named.id):
            await self._store.refused(verb, [named.text], reason=reason)
            return Said(target=named.text, ok=False, text="is not known, or is not yours")
        try:
            found = await resolve(self._store, named)
        except UnknownJob:
            return Said(
                target=named.text, ok=False, text="is no array that is known: look for a typing error"
            )
        if isinstance(found, Part):
            done = await operate_part(self._store, verb, found, reason=reason)
            return Said(target=named.text, ok=done.ok, text=done.text, changed=done.changed)
        answer = await operate(self._store, verb, found, reason=reason)
        return Said(target=found, ok=answer.ok, text=answer.text, changed=int(answer.changed))

    async def _agent(self, verb: AgentVerb, agent: str, account: Account, reason: str) -> Said:
        if verb is AgentVerb.DRAIN:
            await self._store.drain([agent])
            return Said(target=agent, ok=True, text="will be told to leave when it has finished what it runs")
        if verb is AgentVerb.QUARANTINE:
            await self._store.set_aside(agent, by=account.jid, reason=reason)
            return Said(
                target=agent, ok=True, text="gets no jobs until somebody releases it; what it runs goes on"
            )
        changed = await self._store.pardon(agent, reason=reason)
        return Said(
            target=agent, ok=True, text="gets jobs again" if changed else "nothing was held against it"
        )
