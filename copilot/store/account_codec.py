"""How accounts, bundles and errands are written in Redis: one line of JSON each.

Times stand as text with 17 digits: scripts read and write the line, and a number would lose some of them. `projects` are
words with blanks between: the JSON of the scripts cannot tell an empty list from an empty object. A time of making that
is missing is filled in by the script.
"""

from __future__ import annotations

import json

from copilot.roles import Account, Standing
from copilot.store.accounts import Bundle, Errand


def account_to_json(account: Account) -> str:
    """An account without its JID, under which the line stands."""
    return json.dumps(
        {
            "standing": account.standing.value,
            "projects": " ".join(sorted(account.projects)),
            "key": account.key,
            "bundle": account.bundle,
            "created": _text(account.created or None),
            "expires": _text(account.expires),
            "revoked": account.revoked,
        }
    )


def account_from_json(jid: str, text: str) -> Account:
    """An account, by its JID and line."""
    found = json.loads(text)
    return Account(
        jid=jid,
        standing=Standing(found["standing"]),
        projects=frozenset(found["projects"].split()),
        key=found["key"],
        bundle=found["bundle"],
        created=_time(found["created"]) or 0.0,
        expires=_time(found["expires"]),
        revoked=found["revoked"],
    )


def bundle_to_json(bundle: Bundle) -> str:
    """A bundle without its id, under which the line stands."""
    return json.dumps(
        {
            "jid": bundle.jid,
            "hash": bundle.secret_hash,
            "agents": bundle.agents,
            "used": bundle.used,
            "projects": " ".join(sorted(bundle.projects)),
            "created": _text(bundle.created or None),
            "expires": _text(bundle.expires),
            "revoked": bundle.revoked,
        }
    )


def bundle_from_json(ident: str, text: str) -> Bundle:
    """A bundle, by its id and line."""
    found = json.loads(text)
    return Bundle(
        id=ident,
        jid=found["jid"],
        secret_hash=found["hash"],
        agents=int(found["agents"]),
        used=int(found["used"]),
        projects=frozenset(found["projects"].split()),
        created=_time(found["created"]) or 0.0,
        expires=_time(found["expires"]),
        revoked=found["revoked"],
    )


def errand_from_json(jid: str, text: str) -> Errand:
    """An errand, by the JID that it is about, and its line."""
    found = json.loads(text)
    return Errand(
        jid=jid, number=int(found["number"]), password=found.get("password"), tried=found.get("tried", "")
    )


def _text(time: float | None) -> str:
    return "" if time is None else repr(time)


def _time(text: str) -> float | None:
    return float(text) if text else None
