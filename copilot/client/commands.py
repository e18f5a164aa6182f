"""What people with accounts want by commands of their XMPP client (XEP-0050): a table of what there is, and how it is carried out.

Who may what is the same as on the dashboard (`Desk`); the account is that of the JID as the XMPP server has stamped it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from copilot.actor import Via
from copilot.client.desk import MOST, Desk, NotAllowed
from copilot.client.filters import Filter
from copilot.client.listing import Row, first
from copilot.client.operating import AgentVerb, Verb
from copilot.errors import BadName, StoreError
from copilot.job import State, check_job_id
from copilot.log import PeerRef
from copilot.protocol.envelope import bare
from copilot.roles import LOOKS_AFTER_ALL, Account, Standing
from copilot.store.base import Store
from copilot.transport.adhoc import Answered, Command, Commands, Field

log = logging.getLogger("copilot.commands")

SHOWN = 50  # jobs of a list
_WHY = Field(name="reason", label="Why (for those who look later)")
_JOBS = Field(name="jobs", label=f"Ids of jobs, one a line, at most {MOST}", kind="text-multi", required=True)
_AGENTS = Field(
    name="agents", label=f"Jabber IDs of agents, one a line, at most {MOST}", kind="text-multi", required=True
)
_STATE = Field(name="state", label="State", kind="list-single", options=tuple(State), required=True)

# By hand of everybody who has an account, and of operators alone.
OF_PEOPLE = (
    Command(
        node="explain",
        name="Explain why a job is where it is",
        fields=(Field(name="job", label="Id of the job", required=True),),
    ),
    Command(
        node=Verb.CANCEL,
        name="Cancel jobs",
        fields=(_JOBS, _WHY),
        instructions="They end, and what they have done is lost.",
    ),
    Command(node=Verb.HOLD, name="Hold jobs", fields=(_JOBS, _WHY)),
    Command(node=Verb.RELEASE, name="Release jobs that are held", fields=(_JOBS, _WHY)),
    Command(node=Verb.RETRY, name="Run jobs once more that failed or were cancelled", fields=(_JOBS, _WHY)),
)
OF_OPERATORS = (
    Command(node="queue", name="Show how many jobs there are, and what is stopped"),
    Command(node="list", name="List jobs in a state", fields=(_STATE,)),
    Command(
        node=AgentVerb.DRAIN,
        name="Have agents leave",
        fields=(_AGENTS,),
        instructions="What they run goes back to the queue.",
    ),
    Command(node=AgentVerb.QUARANTINE, name="Give agents no more jobs", fields=(_AGENTS, _WHY)),
    Command(node=AgentVerb.RELEASE, name="Give agents jobs again", fields=(_AGENTS, _WHY)),
)
RELOAD = Command(node="reload", name="Read the configuration of this component again")


class PeoplesCommands(Commands):
    """Over one queue. `standing_of` says what a bare JID is, without asking anybody; `reload` reads the configuration again, and says
    what came of it."""

    def __init__(
        self,
        store: Store,
        standing_of: Callable[[str], Standing | None],
        *,
        reload: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        self._store = store
        self._desk = Desk(store)
        self._standing_of = standing_of
        self._reload = reload
        theirs = OF_OPERATORS if reload is None else (*OF_OPERATORS, RELOAD)
        self._of_people = {one.node: one for one in OF_PEOPLE}
        self._of_operators = {one.node: one for one in (*theirs, *OF_PEOPLE)}

    def of(self, jid: str) -> Mapping[str, Command]:
        """Those of this full JID."""
        standing = self._standing_of(bare(jid))
        if standing in LOOKS_AFTER_ALL:
            return self._of_operators
        return self._of_people if standing is Standing.SUBMITTER else {}

    async def run(self, node: str, jid: str, said: Mapping[str, tuple[str, ...]]) -> Answered:
        """Carry one out."""
        try:
            account = await self._desk.person(bare(jid))
            if account is None or node not in self.of(jid):
                raise NotAllowed("this account may not do that")
            if account.key:  # whoever runs the XMPP server could say it in his name
                raise NotAllowed(
                    "this account signs what it says, so nothing in clear is heard of it: use the dashboard, or `copilot … --remote`"
                )
            return await self._run(node, jid, account, said)
        except (NotAllowed, BadName, StoreError, ValueError) as error:
            return Answered(lines=[str(error)], ok=False)

    async def _run(
        self, node: str, jid: str, account: Account, said: Mapping[str, tuple[str, ...]]
    ) -> Answered:
        if node == "queue":
            return await self._queue()
        if node == "list":
            return await self._list(State(said["state"][0]))
        if node == "explain":
            return await self._explain(account, said["job"][0])
        if node == RELOAD.node and self._reload is not None:
            log.info("%s has this component read its configuration again.", PeerRef(jid))
            return Answered(lines=[await self._reload()])
        reason = " ".join(said.get("reason", ()))
        targets = said.get("jobs") or said.get("agents") or ()
        done = await self._desk.act(account.jid, node, targets, reason=reason, via=Via.XMPP, place=jid)
        return Answered(lines=[f"{one.target}: {one.text}" for one in done], ok=all(one.ok for one in done))

    async def _queue(self) -> Answered:
        counts, stopped = await self._store.counts(), await self._store.paused()
        lines = [f"{state}: {counts.get(state, 0):,}" for state in State]
        return Answered(lines=[*lines, *(one.told() for one in stopped)])

    async def _list(self, state: State) -> Answered:
        found = await first(self._store, Filter(states=(state,)), limit=SHOWN)
        lines = ["  ".join(filter(None, _told(row))) for row in found.rows]
        total = found.counts[state]
        jobs = "1 job is" if total == 1 else f"{total:,} jobs are"
        more = f"{jobs} {state}" + (f"; the first {len(lines)}:" if found.more else ":")
        return Answered(lines=[more, *lines] if lines else [f"no job is {state}"])

    async def _explain(self, account: Account, job: str) -> Answered:
        check_job_id(job, submitted=True)
        if account.standing not in LOOKS_AFTER_ALL and not await self._desk.may_see(account, job):
            return Answered(lines=[f"{job}: is not known, or is not yours"], ok=False)
        reason = await self._desk.why(job)
        return Answered(lines=[f"{job}: {reason.code}: {reason.text}", f"Next: {reason.next}"])


def _told(row: Row) -> tuple[str, ...]:
    """A row of a list; of an array how many elements are in each state."""
    line = row.line
    if row.array is not None:
        return f"{row.array.spec.id}[{row.array.spec.array}]", line.owner, *row.array.told
    return line.job, line.owner, line.agent or "", line.cause or ""
