"""Waits until a manager has told the XMPP server of a new account (decision 17)."""

from __future__ import annotations

import asyncio

from copilot.store.accounts import AccountStore

POLL = 0.1  # s


async def why_not_made(store: AccountStore, jid: str, limit: float) -> str | None:
    """None as soon as the account is there; else, after `limit` seconds at the latest, why not."""
    try:
        async with asyncio.timeout(limit):
            while (errand := await store.errand(jid)) is not None:
                if errand.tried:
                    return errand.tried
                await asyncio.sleep(POLL)  # nothing tells when an errand is struck off
    except TimeoutError:
        return (
            f"no job manager has made its account within {limit:g} s. Is one up, with a session (copilot-heartbeat), and of this "
            "version?"
        )
    return None
