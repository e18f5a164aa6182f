"""The monitor and account records: whose key counts, who may not report, and that it goes on while the queue is away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from copilot.cli.securing import ServiceSecurity
from copilot.config import load
from copilot.errors import SealError, StoreUnavailable
from copilot.monitor.config import MonitorConfig
from copilot.monitor.records import Records
from copilot.protocol import codec
from copilot.protocol.commands import ReportEvent
from copilot.protocol.envelope import Envelope
from copilot.protocol.session import V2
from copilot.roles import Account, Standing
from copilot.runtime.keys import new_key_file
from copilot.store.accounts import Accounts
from copilot.store.memory import MemoryStore
from tests.patience import PATIENCE_S
from tests.sealing import Ring, agent, public, service

AGENT, MONITOR = "agent@x", "mon@x"
REPORT = codec.encode(ReportEvent(component="agent", event="job.start", count=1))


class Shaky(MemoryStore):
    away = False

    async def account(self, jid: str) -> Account | None:
        if self.away:
            raise StoreUnavailable("away")
        return await super().account(jid)

    async def accounts(self, *, after: int = 0, limit: int = 1000) -> Accounts:
        if self.away:
            raise StoreUnavailable("away")
        return await super().accounts(after=after, limit=limit)


@pytest.fixture
def store() -> Shaky:
    return Shaky()


async def test_an_agent_with_a_record_is_heard_under_its_key_until_it_is_revoked(
    store: Shaky, tmp_path: Path
) -> None:
    config = load(
        MonitorConfig,
        tmp_path,
        {
            "MON_JABBER_SERVER": "localhost",
            "MON_JABBER_DOMAIN": "x",
            "MON_JABBER_ID": "mon",
            "MON_JABBER_PASSWORD": "x",
            "MON_STATE_DIR": str(tmp_path),
        },
    )[0]
    new_key_file(config.key_file, service())
    records = Records(store)
    secure = ServiceSecurity(config, records.cache.account)

    def said(number: int = 0) -> Envelope:
        opener = V2(AGENT, Ring(agent(number), {MONITOR: service().public}), wall=secure._clock.wall)
        sealed = opener.sealed(Envelope(to=MONITOR, id="r", element=REPORT, noack=True), 0.0)
        assert sealed is not None
        return Envelope(to=MONITOR, id="r", sender=f"{AGENT}/a", sealed=sealed.sealed)

    with pytest.raises(SealError, match="no key is registered"):
        secure.security.opened(said(), 0.0)
    await store.put_account(Account(jid=AGENT, standing=Standing.AGENT, key=public(agent())))
    await records.look_up(AGENT)
    assert secure.security.opened(said(), 0.0).envelope.element == REPORT
    with pytest.raises(SealError, match="not signed with a key"):
        secure.security.opened(said(9), 0.0)
    assert (secure.openings.opened, secure.openings.refused) == (1, 2)
    clear = Envelope(to=MONITOR, id="c", sender="old@x/a", element=REPORT, noack=True)
    assert not secure.security.opened(clear, 0.0).sealed  # mode 0 hears both
    assert records.permits(AGENT, "reportEvent")
    await store.revoke(AGENT)
    await records.cache.refresh()
    with pytest.raises(SealError, match="no key is registered"):
        secure.security.opened(said(), 0.0)
    assert not records.permits(AGENT, "reportEvent")


async def test_a_bundle_reports_nothing_and_who_has_no_record_is_left_to_the_settings(store: Shaky) -> None:
    await store.put_account(Account(jid="bundle-1@x", standing=Standing.BUNDLE))
    records = Records(store)
    await records.cache.refresh()
    assert not records.permits("bundle-1@x", "reportEvent")
    assert records.permits("jm@x", "reportEvent")


async def test_it_goes_on_while_the_queue_is_away_and_knows_all_when_it_is_back(store: Shaky) -> None:
    await store.put_account(Account(jid=AGENT, standing=Standing.AGENT))
    store.away = True
    records = Records(store)
    async with records.cache.kept_fresh(wait=False):
        await records.look_up(AGENT)
        assert not records.knows(AGENT)
        assert records.permits(AGENT, "reportEvent")
        store.away = False
        async with asyncio.timeout(PATIENCE_S):
            while not records.knows(AGENT):
                records.cache.hint()
                await asyncio.sleep(0.01)
    assert records.cache.account(AGENT) is not None
