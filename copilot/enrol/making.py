"""Makes a bundle, and waits until its account is there (decision 17)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from copilot.config.certificate import certificate_line
from copilot.config.kinds import Address
from copilot.config.manager import ManagerSettings
from copilot.enrol.bundle import BundleFile
from copilot.enrol.names import secret_hash
from copilot.errors import CopilotError, JoinFailed
from copilot.records import dataclass
from copilot.runtime.errand import why_not_made
from copilot.store.accounts import Bundle
from copilot.store.base import Store

SECRET_BYTES = 32
ID_DIGITS = 12  # hexadecimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants. `expires` in seconds since the epoch; `server`: where agents reach the XMPP server, if not where we
    do."""

    agents: int = 1
    expires: float | None = None
    projects: frozenset[str] = field(default_factory=frozenset)
    server: Address | None = None


def new_bundle(wish: Wish, config: ManagerSettings, public_keys: str) -> tuple[Bundle, BundleFile]:
    """What the store is to know of a new bundle, and its file. Raises `ConfigError`."""
    ident = secrets.token_hex(ID_DIGITS // 2)
    account = f"bundle-{ident}@{config.jabber_domain.lower()}"
    secret = secrets.token_urlsafe(SECRET_BYTES)
    host, port = wish.server or (config.jabber_server, config.jabber_port)
    settings = _settings(config, host, port, wish.projects)
    file = BundleFile(
        id=ident,
        account=account,
        password=secrets.token_urlsafe(SECRET_BYTES),
        secret=secret,
        manager=config.jid.lower(),
        server=host,
        port=port,
        public_keys=public_keys,
        expires=wish.expires,
        settings=settings,
    )
    bundle = Bundle(
        id=ident,
        jid=account,
        secret_hash=secret_hash(secret),
        agents=wish.agents,
        projects=wish.projects,
        expires=wish.expires,
    )
    return bundle, file


async def bring_in(store: Store, bundle: Bundle, password: str, *, limit: float) -> None:
    """The bundle counts, and its account is on the XMPP server. If that is not so within `limit` seconds, or cannot be done,
    nobody ever comes in by it, and an error says why."""
    await store.add_bundle(bundle, password=password)
    try:
        why = await why_not_made(store, bundle.jid, limit)
    except BaseException:
        await store.revoke_bundle(bundle.id)
        raise
    if why is not None:
        await store.revoke_bundle(bundle.id)
        raise JoinFailed(f"no bundle was made: {why}")


def _settings(config: ManagerSettings, host: str, port: int, projects: frozenset[str]) -> Mapping[str, str]:
    """Those of the agent."""
    wanted = {
        "JM_JABBER_ADDRESS": config.jid,
        "AGENT_JABBER_SERVER": host,
        "AGENT_JABBER_PORT": str(port),
        "AGENT_JABBER_DOMAIN": config.jabber_domain,
        "AGENT_JABBER_TLS": config.jabber_tls.value,
        "AGENT_JABBER_CA": "" if config.jabber_ca_file is None else certificate_line(config.jabber_ca_file),
        "MON_JABBER_ADDRESS": config.mon_jabber_address or "",
        "HB_CHAT_SERVER": config.hb_chat_server or "",
        "HB_CHAT_ROOM": config.hb_chat_room or "",
        "HB_CHAT_SHARDS": str(config.hb_chat_shards) if config.hb_chat_room else "",
        "HB_CHAT_OWNER": config.hb_chat_owner or "",
        "HB_ALLOW": " ".join(config.hb_allow or ()),
        "AGENT_PROJECTS": " ".join(sorted(projects)),
    }
    return {key: value for key, value in wanted.items() if value}


def refuse_existing(path: Path) -> None:
    """Nothing is overwritten. Raises `CopilotError`."""
    if path.exists():
        raise CopilotError(f"{path} is there already; name another file with -o")
