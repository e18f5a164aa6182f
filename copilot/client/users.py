"""People with accounts of their own: who submits from afar, or looks after all jobs (decision 17)."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from dataclasses import field

from copilot.errors import BadName, UserNotMade
from copilot.protocol.crypto import v2
from copilot.protocol.crypto.keys import PrivateKeys, agent_keys, private_text
from copilot.records import dataclass
from copilot.roles import Account, Standing
from copilot.runtime.errand import why_not_made
from copilot.store.accounts import check_account
from copilot.store.base import Store

PASSWORD_BYTES = 24
PEOPLE = (Standing.SUBMITTER, Standing.OPERATOR, Standing.ADMIN)
PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A new account, with what its owner alone may know."""

    account: Account
    password: str = field(repr=False)
    key: str = field(repr=False)  # PEM; "": it signs nothing


def new_user(
    jid: str, standing: Standing, projects: frozenset[str], expires: float | None, *, signs: bool = True
) -> User:
    """With a password and, if it `signs`, a key of its own: then it is heard sealed alone. Raises `BadName` for what cannot be."""
    keys = agent_keys() if signs else PrivateKeys()
    account = Account(
        jid=jid.lower(),
        standing=standing,
        projects=projects,
        key=v2.public_form(keys.signing[0]) if keys.signing else "",
        expires=expires,
    )
    return User(
        account=check_account(account),
        password=secrets.token_urlsafe(PASSWORD_BYTES),
        key=private_text(keys) if signs else "",
    )


def configuration(user: User, common: Mapping[str, str]) -> str:
    """The file that the person gets: all that `copilot-job-submit --remote` needs."""
    name, _, domain = user.account.jid.partition("@")
    own = {
        "SUBMIT_JABBER_DOMAIN": domain,
        "SUBMIT_JABBER_ID": name,
        "SUBMIT_JABBER_PASSWORD": user.password,
        "SUBMIT_OWN_KEY": base64.b64encode(user.key.encode()).decode("ascii"),
    }
    holds = "a password and a key" if user.key else "a password"
    lines = [
        f"# For {user.account.jid} alone: it holds {holds}. Use it with copilot-job-submit --remote --config FILE,",
        "# or keep it as ~/.config/copilot/copilot-submitter.conf, readable for yourself alone.",
        *(f"{key} {value}" for key, value in {**common, **own}.items() if value),
    ]
    return "\n".join(lines) + "\n"


async def bring_in(store: Store, user: User, *, limit: float) -> None:
    """The account counts, and it is on the XMPP server. If that is not so within `limit` seconds, or cannot be done, it is taken
    back, and `UserNotMade` says why.

    Raises `BadName` if somebody has that account who was not revoked.
    """
    jid = user.account.jid
    known = await store.account(jid)
    if known is not None and not known.revoked:
        raise BadName(f"{jid} is there already, as {known.standing}: revoke it first, or choose another name")
    await store.put_account(user.account, password=user.password)
    try:
        why = await why_not_made(store, jid, limit)
    except BaseException:
        await store.revoke(jid)
        raise
    if why is not None:
        await store.revoke(jid)
        raise UserNotMade(f"{jid} was not made: {why}")


async def people(store: Store) -> list[Account]:
    """All accounts of people, by name."""
    found: dict[str, Account] = {}
    after = 0
    while True:
        page = await store.accounts(after=after, limit=PAGE)
        found |= {one.jid: one for one in page.accounts}
        if len(page.accounts) < PAGE:
            return sorted((one for one in found.values() if one.standing in PEOPLE), key=lambda one: one.jid)
        after = page.number


async def revoke(store: Store, jid: str, *, reason: str = "") -> bool:
    """This person may do nothing any more; jobs that are on the queue stay there. False if that was so before.

    Raises `BadName` if it is no account of a person's.
    """
    known = await store.account(jid)
    if known is None or known.standing not in PEOPLE:
        raise BadName(f"{jid} is no user: 'copilot users list' shows who is")
    return (await store.revoke(jid, reason=reason)).changed
