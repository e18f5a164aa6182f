"""Who may come in: account records, bundles, and what the XMPP server has yet to be told (decision 17).

Part of the port to the store: what holds for every method of `Store` holds here. Records are by bare JID in lower case
and never go: that of a revoked account says that it is nobody's, whatever the XMPP server lets in.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import field
from typing import Protocol

from copilot.errors import BadName
from copilot.job import Event
from copilot.patterns import pattern
from copilot.records import dataclass
from copilot.roles import Account, Standing

MAX_JID = 1023  # characters of a bare JID that we take; RFC 7622 allows 2047 bytes
MAX_PASSWORD = 200  # characters
MAX_PROJECTS = 100  # of one account
MAX_AGENTS = 1_000_000  # of one bundle
MAX_REASON = 1000  # characters of a refusal that is kept with an errand
ERRAND_LEASE = 30.0  # s for which an errand is left to the instance that has taken it
USED_UP_GRACE = (
    60.0  # s that the last agent of a bundle has to hear its answer, before the bundle's account goes
)
REVOKED_TEXT = "its agent was revoked"

_JID = pattern(r"[^\s@/\"&'<>:]+@[^\s@/\"&'<>]+\Z")
_PROJECT = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_BUNDLE = pattern(r"[a-z0-9]{8,32}\Z")
_HASH = pattern(r"[0-9a-f]{64}\Z")
_KEY = pattern(r"[A-Za-z0-9+/]{43}=\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What lets `agents` new agents in, who then work for `projects`. Times in seconds since the epoch.

    `jid` is its temporary account, `secret_hash` the SHA-256 of its secret in hex, `used` how many agents have come by it.
    """

    id: str
    jid: str
    secret_hash: str = field(repr=False)
    agents: int = 1
    used: int = 0
    projects: frozenset[str] = frozenset()
    created: float = 0.0
    expires: float | None = None
    revoked: bool = False


class Entry(enum.StrEnum):
    """What became of an agent that wanted to come in by a bundle."""

    ENROLLED = "enrolled"
    AGAIN = "again"  # this key was let in before: it has the same account, and nothing is counted
    UNKNOWN = "unknown"  # no such bundle, not its account, or not its secret
    EXPIRED = "expired"
    REVOKED = "revoked"  # the bundle, or the agent that it let in
    USED_UP = "used-up"
    TAKEN = "taken"  # somebody else has the account that this key would get


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """Answer to `enrol`; `account` is there if the agent is in."""

    entry: Entry
    account: Account | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What the XMPP server has yet to be told: that this account is there with this password, or (None) that it is not.

    `number` tells errands about the same account apart; `tried` says why it could not be done, if that was tried.
    """

    jid: str
    number: int
    password: str | None = field(default=None, repr=False)
    tried: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Account records, those that were changed first first, and the number of the last change among them."""

    number: int
    accounts: tuple[Account, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """Answer to `revoke`: whether that was news, and the events of the jobs that went back."""

    changed: bool
    events: tuple[Event, ...] = ()


class AccountStore(Protocol):
    """Who may come in. All methods raise `BadName` for what cannot be a JID, a project, a key or a bundle."""

    async def put_account(self, account: Account, *, password: str = "", now: float | None = None) -> None:
        """Write a record as it stands, in the place of an older one; with `password`, the XMPP server is to have that account
        with it. `created` 0.0: now."""
        ...

    async def account(self, jid: str) -> Account | None:
        """The record of a bare JID."""
        ...

    async def accounts(self, *, after: int = 0, limit: int = 1000) -> Accounts:
        """At most `limit` (1 to 1000) records that were changed after that number, which may be 0."""
        ...

    async def revoke(self, jid: str, *, reason: str = "", now: float | None = None) -> CutOff:
        """This bare JID is nobody from now on, record or none: its running attempts go back uncounted, it is given nothing
        any more, and the XMPP server is to forget it."""
        ...

    async def expire(self, jid: str, at: float | None, *, now: float | None = None) -> bool:
        """The account ends at that time (None: never). False if it counts no more: then it stays so."""
        ...

    async def end_accounts(self, *, limit: int = 100, now: float | None = None) -> tuple[Event, ...]:
        """Cut off, as `revoke` does, at most `limit` accounts whose time is over. Returns the events of their jobs."""
        ...

    async def add_bundle(self, bundle: Bundle, *, password: str, now: float | None = None) -> None:
        """A new bundle; the XMPP server is to have its account. The same again changes nothing but the password. Raises
        `BadName` if there is another one of that id, or an account of that name."""
        ...

    async def bundles(self) -> tuple[Bundle, ...]:
        """All bundles, oldest first."""
        ...

    async def revoke_bundle(self, ident: str, *, now: float | None = None) -> bool:
        """Nobody comes in by it any more; whoever has come stays. False if there is none, or it was revoked before."""
        ...

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
        """The account `by` (bare JID) brings an agent with the secret of that bundle. It gets `account`, with the projects of
        the bundle, and the XMPP server is to have it with this password; see `Entry`."""
        ...

    async def errands(
        self, *, limit: int = 10, lease: float = ERRAND_LEASE, now: float | None = None
    ) -> tuple[Errand, ...]:
        """Take at most `limit` errands: nobody else gets them within `lease` seconds."""
        ...

    async def errand(self, jid: str) -> Errand | None:
        """What the server has yet to be told of this account."""
        ...

    async def done_errand(self, errand: Errand) -> bool:
        """It was carried out. False if something else is wanted by now: that stays. If it is that there is no such account, that
        is carried out once more: nobody knows which of the two the server was told last."""
        ...

    async def tried_errand(
        self, errand: Errand, reason: str, *, again: float, now: float | None = None
    ) -> None:
        """It could not be carried out: `reason` is kept for who waits for it, and it is tried again in `again` seconds."""
        ...


def check_jid(jid: str) -> str:
    """A bare JID in lower case. Raises `BadName`."""
    if len(jid) > MAX_JID or not _JID.match(jid) or jid != jid.lower():
        raise BadName(f"account {jid[:140]!r}: expected a bare Jabber ID in lower case, like agent@domain")
    return jid


def check_projects(projects: frozenset[str]) -> frozenset[str]:
    """Projects of an account. Raises `BadName`."""
    for project in projects:
        if not _PROJECT.match(project):
            expected = "1 to 64 letters, digits, '.', '_' or '-', the first one a letter or digit"
            raise BadName(f"project {project[:100]!r}: expected {expected}")
    if len(projects) > MAX_PROJECTS:
        raise BadName(f"{len(projects)} projects: at most {MAX_PROJECTS} are allowed")
    return projects


def check_account(account: Account) -> Account:
    """A record that may be written. Raises `BadName`."""
    check_jid(account.jid)
    check_projects(account.projects)
    if account.key and not _KEY.match(account.key):
        raise BadName(f"account {account.jid}: expected an Ed25519 key, 32 bytes in base64")
    if account.bundle:
        check_bundle_id(account.bundle)
    return account


def check_bundle_id(ident: str) -> str:
    """The id of a bundle. Raises `BadName`."""
    if not _BUNDLE.match(ident):
        raise BadName(
            f"bundle {ident[:80]!r}: expected 8 to 32 letters and digits, as 'copilot bundle list' shows"
        )
    return ident


def check_bundle(bundle: Bundle) -> Bundle:
    """A bundle that may be written. Raises `BadName`."""
    check_bundle_id(bundle.id)
    check_jid(bundle.jid)
    check_projects(bundle.projects)
    check_secret_hash(bundle.secret_hash)
    if not 1 <= bundle.agents <= MAX_AGENTS:
        raise BadName(f"bundle for {bundle.agents} agents: expected 1 to {MAX_AGENTS:,}")
    return bundle


def check_secret_hash(digest: str) -> str:
    """SHA-256 in hex. Raises `BadName`."""
    if not _HASH.match(digest):
        raise BadName("hash of a bundle's secret: expected SHA-256 in hex")
    return digest


def check_password(password: str) -> str:
    """A password that every server takes. Raises `BadName`, without the password."""
    if not password or len(password) > MAX_PASSWORD or not password.isascii() or not password.isprintable():
        raise BadName(f"password of an account: expected 1 to {MAX_PASSWORD} printable ASCII characters")
    return password


def account_of(bundle: Bundle) -> Account:
    """The record of a bundle's temporary account."""
    return Account(
        jid=bundle.jid,
        standing=Standing.BUNDLE,
        bundle=bundle.id,
        created=bundle.created,
        expires=bundle.expires,
        revoked=bundle.revoked,
    )


def newest(accounts: Sequence[tuple[int, Account]], after: int) -> Accounts:
    """Records with the numbers of their changes, as `accounts` answers."""
    return Accounts(
        number=max((number for number, _ in accounts), default=after),
        accounts=tuple(account for _, account in accounts),
    )


def taken(bundle: Bundle) -> BadName:
    """The error for a bundle whose id or account belongs to another one."""
    return BadName(f"bundle {bundle.id}: this id or the account {bundle.jid} is taken; make another one")


def short(reason: str) -> str:
    """Why an errand could not be carried out, as it is kept; never empty."""
    return reason[:MAX_REASON] or "it was refused"


def new_record(jid: str) -> Account:
    """For an account that has come without one: an agent, as in 2011."""
    return Account(jid=jid, standing=Standing.AGENT)
