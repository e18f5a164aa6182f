"""Who may come in, in Redis: see `copilot.store.accounts`."""

from __future__ import annotations

import abc
from typing import Any

from copilot.job import Cause, Event
from copilot.roles import Account
from copilot.store import account_codec, rules
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
from copilot.store.keys import Keys
from copilot.store.redis_survey import event_from_list, rows_of

SCRIPTS = frozenset({"changed_accounts"})  # those that change nothing


class RedisAccounts(AccountStore, abc.ABC):
    """Part of `RedisStore`."""

    _keys: Keys

    @abc.abstractmethod
    async def _run(self, name: str, now: float | None, *arguments: str | float | bytes) -> Any:
        """Run a script."""

    @abc.abstractmethod
    async def _ask(self, command: str, *arguments: str) -> Any:
        """Send one command."""

    async def put_account(self, account: Account, *, password: str = "", now: float | None = None) -> None:
        """Write a record: see `AccountStore.put_account`."""
        if password:
            check_password(password)
        await self._run("put_account", now, account.jid, *_line(check_account(account)), password)

    async def account(self, jid: str) -> Account | None:
        """The record of a bare JID."""
        line = await self._ask("HGET", self._keys.accounts, jid)
        return None if line is None else account_codec.account_from_json(jid, line)

    async def accounts(self, *, after: int = 0, limit: int = 1000) -> Accounts:
        """Records that were changed after that number: see `AccountStore.accounts`."""
        rows = rows_of(3, await self._run("changed_accounts", None, after, rules.check_count("limit", limit)))
        found = [(int(number), account_codec.account_from_json(jid, line)) for number, jid, line in rows]
        return newest(found, after)

    async def revoke(self, jid: str, *, reason: str = "", now: float | None = None) -> CutOff:
        """This bare JID is nobody from now on: see `AccountStore.revoke`."""
        news, events = await self._run("revoke_account", now, check_jid(jid), _new(jid), *_why(reason))
        return CutOff(changed=bool(news), events=tuple(map(event_from_list, events)))

    async def expire(self, jid: str, at: float | None, *, now: float | None = None) -> bool:
        """The account ends at that time: see `AccountStore.expire`."""
        when = "" if at is None else repr(float(at))
        return bool(await self._run("expire_account", now, check_jid(jid), _new(jid), when))

    async def end_accounts(self, *, limit: int = 100, now: float | None = None) -> tuple[Event, ...]:
        """Cut off accounts whose time is over: see `AccountStore.end_accounts`."""
        count = rules.check_count("limit", limit)
        return tuple(map(event_from_list, await self._run("end_accounts", now, count, *_why(""))))

    async def add_bundle(self, bundle: Bundle, *, password: str, now: float | None = None) -> None:
        """A new bundle: see `AccountStore.add_bundle`."""
        text = account_codec.bundle_to_json(check_bundle(bundle))
        account, expires = _line(account_of(bundle))
        words = (bundle.id, text, bundle.jid, account, expires, check_password(password))
        if not await self._run("add_bundle", now, *words):
            raise taken(bundle)

    async def bundles(self) -> tuple[Bundle, ...]:
        """All bundles, oldest first."""
        lines = await self._ask("HGETALL", self._keys.bundles)
        found = (account_codec.bundle_from_json(ident, line) for ident, line in lines.items())
        return tuple(sorted(found, key=lambda one: (one.created, one.id)))

    async def revoke_bundle(self, ident: str, *, now: float | None = None) -> bool:
        """Nobody comes in by it any more: see `AccountStore.revoke_bundle`."""
        return bool(await self._run("revoke_bundle", now, check_bundle_id(ident)))

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
        words = check_jid(by), check_bundle_id(bundle), check_secret_hash(secret_hash)
        line, _ = _line(check_account(account))
        entry, *rest = await self._run(
            "enrol", now, *words, account.jid, line, check_password(password), USED_UP_GRACE
        )
        found = account_codec.account_from_json(account.jid, rest[0]) if rest else None
        return Enrolled(entry=Entry(entry), account=found)

    async def errands(
        self, *, limit: int = 10, lease: float = ERRAND_LEASE, now: float | None = None
    ) -> tuple[Errand, ...]:
        """Take errands: see `AccountStore.errands`."""
        count, seconds = rules.check_count("limit", limit), rules.check_seconds("lease", lease)
        rows = rows_of(2, await self._run("errands", now, count, seconds))
        return tuple(account_codec.errand_from_json(jid, line) for jid, line in rows)

    async def errand(self, jid: str) -> Errand | None:
        """What the server has yet to be told of this account."""
        line = await self._ask("HGET", self._keys.errands, jid)
        return None if line is None else account_codec.errand_from_json(jid, line)

    async def done_errand(self, errand: Errand) -> bool:
        """It was carried out: see `AccountStore.done_errand`."""
        return bool(await self._run("end_errand", None, errand.jid, errand.number, "", 0))

    async def tried_errand(
        self, errand: Errand, reason: str, *, again: float, now: float | None = None
    ) -> None:
        """It could not be carried out: see `AccountStore.tried_errand`."""
        seconds = rules.check_seconds("again", again)
        await self._run("end_errand", now, errand.jid, errand.number, short(reason), seconds)


def _new(jid: str) -> str:
    return _line(new_record(jid))[0]


def _line(account: Account) -> tuple[str, str]:
    """The record, without a time if it is to be that of now; and when it ends."""
    text = account_codec.account_to_json(account)
    return text, "" if account.expires is None else repr(float(account.expires))


def _why(reason: str) -> tuple[str, str]:
    return Cause.INFRA_PREEMPTED.value, rules.event_text(reason) or REVOKED_TEXT
