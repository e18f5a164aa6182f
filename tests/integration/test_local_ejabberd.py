"""The private ejabberd, for real: accounts, restarts, crashes, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest

from copilot.errors import ConfigError
from copilot.local.ejabberd import Ejabberd
from copilot.local.process import unprivileged_user
from tests.integration.test_local_servers import COMMANDS, ITEMS, LIMIT_S, log_in, session


@pytest.fixture
async def own(ejabberd: Ejabberd, open_directory: Path) -> AsyncIterator[Ejabberd]:
    """One that a test may stop; `ejabberd` is asked for to skip where there is none."""
    server = Ejabberd(open_directory / "e", admins=["admin@copilot.internal"])
    await server.start()
    yield server
    await server.stop()


def process_of(server: Ejabberd) -> psutil.Process:
    assert server._child is not None
    return psutil.Process(server._child.pid)


async def test_registering_again_changes_the_password(ejabberd: Ejabberd) -> None:
    jid = await ejabberd.register("twice", "first")
    assert await log_in(ejabberd, jid, "first") == "session_start"
    assert await ejabberd.register("twice", 'new "password" \\ ]]') == jid
    assert await log_in(ejabberd, jid, 'new "password" \\ ]]') == "session_start"
    assert await log_in(ejabberd, jid, "first") == "failed_all_auth"


async def test_a_removed_account_cannot_log_in(ejabberd: Ejabberd) -> None:
    jid = await ejabberd.register("removed", "password")
    await ejabberd.remove("removed")
    assert await log_in(ejabberd, jid, "password") == "failed_all_auth"


async def test_a_restart_after_a_stop_or_a_kill_keeps_accounts_port_and_authority(own: Ejabberd) -> None:
    jid = await own.register("agent", "password")
    port, authority = own.port, own.ca_file.read_bytes()
    await own.stop()
    await own.start()
    assert await log_in(own, jid, "password") == "session_start"
    os.kill(process_of(own).pid, signal.SIGKILL)
    assert await own.wait() == -signal.SIGKILL
    await own.start()
    assert (own.port, own.ca_file.read_bytes()) == (port, authority)
    assert await log_in(own, jid, "password") == "session_start"
    assert await own.register("another", "password")


async def test_it_runs_without_rights_opens_no_other_port_and_leaves_no_process(own: Ejabberd) -> None:
    process = process_of(own)
    assert process.username() == (unprivileged_user() or pwd.getpwuid(os.geteuid()).pw_name)
    family = [process, *process.children(recursive=True)]
    listening = {
        one.laddr[:2] for each in family for one in each.net_connections("tcp") if one.status == "LISTEN"
    }
    assert listening == {("127.0.0.1", own.port)}
    await own.stop()
    async with asyncio.timeout(LIMIT_S):
        while any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in family):
            await asyncio.sleep(0.01)


async def test_no_other_user_can_make_accounts_and_no_password_is_in_a_log(own: Ejabberd) -> None:
    await own.register("agent", "S3cret-word")
    assert own._data.stat().st_mode & 0o077 == 0
    logs = [own.directory / "ejabberd.log", *own._data.glob("*.log")]
    assert len(logs) > 1
    assert not any("S3cret" in log.read_text() for log in logs)


async def test_only_admins_may_manage_accounts(own: Ejabberd) -> None:
    offered = {}
    for name in ("admin", "agent"):
        jid = await own.register(name, "password")
        async with session(own, jid, "password") as (client, _):
            query = client.make_iq_get(ito=own.domain)
            query.append(ElementTree.XML(f"<query xmlns='{ITEMS}' node='{COMMANDS}'/>"))
            answer = await query.send(timeout=LIMIT_S)  # type: ignore[no-untyped-call]
            offered[name] = {item.get("node") for item in answer.xml.iter(f"{{{ITEMS}}}item")}
    assert "http://jabber.org/protocol/admin#add-user" in offered["admin"]
    assert "http://jabber.org/protocol/admin#add-user" not in offered["agent"]


async def test_a_taken_port_is_named(ejabberd: Ejabberd, open_directory: Path) -> None:
    with pytest.raises(ConfigError, match=f"Port {ejabberd.port} on 127.0.0.1 is in use"):
        await Ejabberd(open_directory / "e", port=ejabberd.port).start()
