"""What people with accounts want from afar, by the dashboard or by messages: who may want what, and what became of it.

The wishes are those of the command line (`operate`), in the name of the account, which is looked up anew for each: who is revoked has
no more wishes. A submitter's are for the jobs that are his, or his projects'; all else is as if it were not there. What somebody with
an account wants and is not allowed is on the audit trail, too.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from copilot.actor import Actor, Via, acting
from copilot.client.explain import explain
from copilot.client.explaining.reasons import Reason
from copilot.client.explaining.words import clipped
from copilot.client.filters import Filter, read_state
from copilot.client.listing import Row, first
from copilot.client.operating import AgentVerb, Verb, operate
from copilot.client.selection import Part, Selection, read_selection, resolve
from copilot.client.slices import operate_part
from copilot.errors import BadName, UnknownJob
from copilot.files.area import FileArea
from copilot.job import State, one_line
from copilot.protocol.commands import HaveJobs, ListedJob
from copilot.records import dataclass
from copilot.roles import LOOKS_AFTER_ALL, Account, Standing, looks_after
from copilot.store.accounts import check_jid
from copilot.store.base import Store

MOST = 50  # jobs or agents of one wish
MOST_OWNER, MOST_REASON = 100, 120  # characters in a list
PEOPLE = frozenset({Standing.SUBMITTER, Standing.OPERATOR, Standing.ADMIN})


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
    """Over one queue. `area`: where inputs of jobs are looked for."""

    def __init__(self, store: Store, area: FileArea | None = None) -> None:
        self._store = store
        self._area = area

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

    async def jobs(self, jid: str, states: Sequence[str], limit: int) -> HaveJobs:
        """The first jobs that are in these states (none: that are not over): the account's own, or of all for who looks after all."""
        account = await self.person(jid)
        if account is None:
            return HaveJobs()
        owners = () if account.standing in LOOKS_AFTER_ALL else (account.jid,)
        wanted = Filter(owners=owners, states=tuple(read_state(state) for state in dict.fromkeys(states)))
        found = await first(self._store, wanted, limit=limit)
        listed = tuple(filter(None, map(_listed, found.rows)))
        return HaveJobs(jobs=listed, cut=(found.cut or bool(found.more)) or None)

    async def why(self, job: str) -> Reason:
        """Why a job is where it is, in words that fit a message."""
        reason = await explain(self._store, job, area=self._area)
        return replace(reason, text=clipped(reason.text), next=clipped(reason.next))

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


def _listed(row: Row) -> ListedJob | None:
    job = row.record
    if job is None:
        return None
    over = job.outcome if job.state.final else None
    return ListedJob(
        id=job.spec.id,
        state=job.state,
        owner=clipped(job.spec.owner, MOST_OWNER),
        priority=job.spec.priority,
        cores=job.spec.cores,
        since=row.line.since,
        attempt=job.attempt,
        agent=job.agent if job.state is State.RUNNING or over is not None else None,
        cause=None if over is None else over.cause,
        reason=None if over is None else clipped(over.reason, MOST_REASON),
        elements=None if row.array is None else row.array.told,
    )
