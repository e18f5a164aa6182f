"""Who may come in, in memory: see `copilot.store.accounts`."""

from __future__ import annotations

import abc
from dataclasses import field, replace

from copilot.job import Cause, Event
from copilot.records import dataclass
from copilot.roles import Account, Standing
from copilot.store import rules
from copilot.store.accounts import (
    ERRAND_LEASE,
    REVOKED_TEXT,
    USED_UP_GRACE,
    Accounts,
    AccountStore,
    Bundle,
    CutOff,
    Enrolled,
    Entry,
    Errand,
    account_of,
    check_account,
    check_bundle,
    check_bundle_id,
    check_jid,
    check_password,
    check_secret_hash,
    new_record,
    newest,
    short,
    taken,
)
from copilot.store.memory_rows import Job, ParkedAgent


@dataclass(slots=True)
class AccountTables:
    """What is kept; `due` says when an errand may be taken."""

    accounts: dict[str, Account] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    ending: dict[str, float] = field(default_factory=dict)
    bundles: dict[str, Bundle] = field(default_factory=dict)
    errands: dict[str, Errand] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)

    def may_have_jobs(self, jid: str, time: float) -> bool:
        """Whether jobs may be given to this bare JID, or left with it."""
        account = self.accounts.get(jid)
        return account is None or (account.standing is Standing.AGENT and account.counts(time))


class MemoryAccounts(AccountStore, abc.ABC):
    """Part of `MemoryStore`, over its tables."""

    round_trips: int
    _jobs: dict[str, Job]
    _running: set[str]
    _parked: dict[str, ParkedAgent]
    _draining: dict[str, float]
    _people: AccountTables

    @abc.abstractmethod
    def _begin(self, now: float | None) -> float:
        """A call begins; the time."""

    @abc.abstractmethod
    def _give_hint(self, word: str = "") -> None:
        """There is something to do: see `Store.hints`."""

    @abc.abstractmethod
    def _hand_back(self, job: Job, cause: Cause, text: str, time: float) -> Event:
        """The attempt does not count."""

    async def put_account(self, account: Account, *, password: str = "", now: float | None = None) -> None:
        """Write a record: see `AccountStore.put_account`."""
        if password:
            check_password(password)
        check_account(account)
        time = self._begin(now)
        self._write_account(replace(account, created=account.created or time))
        if password:
            self._send_errand(account.jid, password, time)

    async def account(self, jid: str) -> Account | None:
        """The record of a bare JID."""
        self.round_trips += 1
        return self._people.accounts.get(jid)

    async def accounts(self, *, after: int = 0, limit: int = 1000) -> Accounts:
        """Records that were changed after that number: see `AccountStore.accounts`."""
        rules.check_count("limit", limit)
        self.round_trips += 1
        found = sorted((number, jid) for jid, number in self._people.changed.items() if number > after)
        return newest([(number, self._people.accounts[jid]) for number, jid in found[:limit]], after)

    async def revoke(self, jid: str, *, reason: str = "", now: float | None = None) -> CutOff:
        """This bare JID is nobody from now on: see `AccountStore.revoke`."""
        check_jid(jid)
        time = self._begin(now)
        account = self._record(jid, time)
        if not account.revoked:
            self._write_account(replace(account, revoked=True))
            self._people.ending.pop(jid, None)
        self._send_errand(jid, None, time)
        return CutOff(changed=not account.revoked, events=self._cut_off(jid, reason, time))

    async def expire(self, jid: str, at: float | None, *, now: float | None = None) -> bool:
        """The account ends at that time: see `AccountStore.expire`."""
        check_jid(jid)
        time = self._begin(now)
        account = self._record(jid, time)
        if not account.counts(time):
            return False
        self._write_account(replace(account, expires=at))
        return True

    async def end_accounts(self, *, limit: int = 100, now: float | None = None) -> tuple[Event, ...]:
        """Cut off accounts whose time is over: see `AccountStore.end_accounts`."""
        rules.check_count("limit", limit)
        time = self._begin(now)
        over = sorted((when, jid) for jid, when in self._people.ending.items() if when <= time)
        events: list[Event] = []
        for _, jid in over[:limit]:
            self._write_account(self._people.accounts[jid])
            del self._people.ending[jid]
            self._send_errand(jid, None, time)
            events += self._cut_off(jid, "", time)
        return tuple(events)

    async def add_bundle(self, bundle: Bundle, *, password: str, now: float | None = None) -> None:
        """A new bundle: see `AccountStore.add_bundle`."""
        check_bundle(bundle)
        check_password(password)
        time = self._begin(now)
        bundle = replace(bundle, created=bundle.created or time)
        known = self._people.bundles.get(bundle.id)
        if known is None and bundle.jid in self._people.accounts:
            raise taken(bundle)
        if known is not None and known.secret_hash != bundle.secret_hash:
            raise taken(bundle)
        if known is None:
            self._people.bundles[bundle.id] = bundle
            self._write_account(account_of(bundle))
        self._send_errand(bundle.jid, password, time)

    async def bundles(self) -> tuple[Bundle, ...]:
        """All bundles, oldest first."""
        self.round_trips += 1
        return tuple(sorted(self._people.bundles.values(), key=lambda one: (one.created, one.id)))

    async def revoke_bundle(self, ident: str, *, now: float | None = None) -> bool:
        """Nobody comes in by it any more: see `AccountStore.revoke_bundle`."""
        check_bundle_id(ident)
        time, bundle = self._begin(now), self._people.bundles.get(ident)
        if bundle is None or bundle.revoked:
            return False
        self._people.bundles[ident] = replace(bundle, revoked=True)
        self._write_account(replace(self._people.accounts[bundle.jid], revoked=True))
        self._people.ending.pop(bundle.jid, None)
        self._send_errand(bundle.jid, None, time)
        return True

    async def enrol(
        self,
        *,
        by: str,
        bundle: str,
        secret_hash: str,
        account: Account,
        password: str,
        now: float | None = None,
    ) -> Enrolled:
        """An agent comes in: see `AccountStore.enrol`."""
        check_jid(by)
        check_bundle_id(bundle)
        check_secret_hash(secret_hash)
        check_account(account)
        check_password(password)
        time, found = self._begin(now), self._people.bundles.get(bundle)
        if found is None or (found.jid, found.secret_hash) != (by, secret_hash):
            return Enrolled(entry=Entry.UNKNOWN)
        known = self._people.accounts.get(account.jid)
        if refused := _refusal(found, known, account, time):
            return Enrolled(entry=refused)
        if known is not None:
            self._send_errand(account.jid, password, time)
            return Enrolled(entry=Entry.AGAIN, account=known)
        found = replace(found, used=found.used + 1)
        self._people.bundles[bundle] = found
        account = replace(account, projects=found.projects, bundle=bundle, created=time)
        self._write_account(account)
        self._send_errand(account.jid, password, time)
        if found.used >= found.agents:
            self._send_errand(by, None, time + USED_UP_GRACE)
        return Enrolled(entry=Entry.ENROLLED, account=account)

    async def errands(
        self, *, limit: int = 10, lease: float = ERRAND_LEASE, now: float | None = None
    ) -> tuple[Errand, ...]:
        """Take errands: see `AccountStore.errands`."""
        rules.check_count("limit", limit)
        rules.check_seconds("lease", lease)
        time = self._begin(now)
        due = sorted((when, jid) for jid, when in self._people.due.items() if when <= time)[:limit]
        self._people.due |= {jid: time + lease for _, jid in due}
        return tuple(self._people.errands[jid] for _, jid in due)

    async def errand(self, jid: str) -> Errand | None:
        """What the server has yet to be told of this account."""
        self.round_trips += 1
        return self._people.errands.get(jid)

    async def done_errand(self, errand: Errand) -> bool:
        """It was carried out: see `AccountStore.done_errand`."""
        time = self._begin(None)
        if not self._stands(errand):
            self._overtaken(errand.jid, time)
            return False
        del self._people.errands[errand.jid]
        del self._people.due[errand.jid]
        return True

    async def tried_errand(
        self, errand: Errand, reason: str, *, again: float, now: float | None = None
    ) -> None:
        """It could not be carried out: see `AccountStore.tried_errand`."""
        rules.check_seconds("again", again)
        time = self._begin(now)
        if self._stands(errand):
            self._people.errands[errand.jid] = replace(errand, tried=short(reason))
            self._people.due[errand.jid] = time + again
        else:
            self._overtaken(errand.jid, time)

    def _overtaken(self, jid: str, time: float) -> None:
        """An older errand than the last one has come to its end: it may have made an account after that was removed."""
        wanted, account = self._people.errands.get(jid), self._people.accounts.get(jid)
        if wanted is not None and wanted.password is None:
            self._people.errands[jid] = replace(wanted, number=self._note_change(jid))
        elif wanted is None and account is not None and not account.counts(time):
            self._send_errand(jid, None, time)

    def _stands(self, errand: Errand) -> bool:
        known = self._people.errands.get(errand.jid)
        return known is not None and known.number == errand.number

    def _record(self, jid: str, time: float) -> Account:
        return self._people.accounts.get(jid) or replace(new_record(jid), created=time)

    def _write_account(self, account: Account) -> None:
        self._people.accounts[account.jid] = account
        self._note_change(account.jid)
        self._people.ending.pop(account.jid, None)
        if account.expires is not None:
            self._people.ending[account.jid] = account.expires
        self._give_hint()

    def _note_change(self, jid: str) -> int:
        self._people.changed[jid] = number = max(self._people.changed.values(), default=0) + 1
        return number

    def _send_errand(self, jid: str, password: str | None, due: float) -> None:
        self._people.errands[jid] = Errand(jid=jid, number=self._note_change(jid), password=password)
        self._people.due[jid] = due

    def _cut_off(self, jid: str, reason: str, time: float) -> tuple[Event, ...]:
        """Nobody by this bare JID has a job, or waits for one, from now on; a late report changes nothing."""
        text = rules.event_text(reason) or REVOKED_TEXT
        held = [job for job in sorted(self._running) if self._jobs[job].record.agent == jid]
        held.sort(key=lambda job: self._jobs[job].deadline)
        events = []
        for ident in held:
            job = self._jobs[ident]
            events.append(
                self._hand_back(replace(job, settled=job.record.attempt), Cause.INFRA_PREEMPTED, text, time)
            )
        for full in [full for full, one in self._parked.items() if one.agent == jid]:
            del self._parked[full]
        self._draining.pop(jid, None)
        return tuple(events)


def _refusal(bundle: Bundle, known: Account | None, account: Account, time: float) -> Entry | None:
    """Why an agent does not come in by a bundle whose secret it has."""
    if bundle.revoked:
        return Entry.REVOKED
    if bundle.expires is not None and bundle.expires <= time:
        return Entry.EXPIRED
    if known is None:
        return Entry.USED_UP if bundle.used >= bundle.agents else None
    if (known.key, known.standing) != (account.key, Standing.AGENT):
        return Entry.TAKEN
    if known.revoked:
        return Entry.REVOKED
    return None if known.counts(time) else Entry.EXPIRED
