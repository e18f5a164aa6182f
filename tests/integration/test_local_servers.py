"""The private servers, for real: TLS, accounts, restarts, crashes, and that nothing stays behind."""

import asyncio
import contextlib
import os
import pwd
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest
import redis as redis_client
import slixmpp
from redis.backoff import NoBackoff
from redis.retry import Retry

from copilot.errors import ConfigError, CopilotError
from copilot.local import certificates
from copilot.local.process import unprivileged_user
from copilot.local.prosody import Prosody
from copilot.local.redis import Redis
from tests.conftest import Account
from tests.patience import PATIENCE_S

Make = Callable[..., Awaitable[Account]]
LIMIT_S = PATIENCE_S
ITEMS, COMMANDS = "http://jabber.org/protocol/disco#items", "http://jabber.org/protocol/commands"


@contextlib.asynccontextmanager
async def session(
    server: Prosody, jid: str, password: str, ca_file: Path | None = None
) -> AsyncIterator[tuple[slixmpp.ClientXMPP, str]]:
    """A client and the event that decided: `session_start`, `failed_all_auth`, `ssl_invalid_chain` …"""
    context = ssl.create_default_context(cafile=ca_file or server.ca_file)
    client = slixmpp.ClientXMPP(jid, password, ssl_context=context)
    client.enable_direct_tls = False
    decided: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def decide(event: str) -> None:
        client.cancel_connection_attempt()
        if not decided.done():
            decided.set_result(event)

    for event in ("session_start", "failed_all_auth", "ssl_invalid_chain", "connection_failed"):
        client.add_event_handler(event, lambda _, event=event: decide(event))
    client.connect("127.0.0.1", server.port)
    try:
        yield client, await asyncio.wait_for(decided, LIMIT_S)
    finally:
        client.abort()


async def log_in(server: Prosody, jid: str, password: str, ca_file: Path | None = None) -> str:
    async with session(server, jid, password, ca_file) as (_, event):
        return event


def pid_of(server: Prosody | Redis) -> int:
    assert server._child is not None
    return server._child.pid


@pytest.fixture
async def own_prosody(prosody: Prosody, open_directory: Path) -> AsyncIterator[Prosody]:
    """One that a test may stop; `prosody` is asked for to skip where there is none."""
    server = Prosody(open_directory / "prosody", admins=["admin@copilot.internal"])
    yield server
    await server.stop()


@pytest.fixture
async def own_redis(redis_server: Redis, open_directory: Path) -> AsyncIterator[Redis]:
    server = Redis(open_directory / "redis")
    yield server
    await server.stop()


async def test_an_account_made_while_the_server_runs_can_log_in(prosody: Prosody, account: Make) -> None:
    user = await account("agent")
    assert await log_in(prosody, user.jid, user.password) == "session_start"


async def test_a_wrong_password_is_refused(prosody: Prosody, account: Make) -> None:
    assert await log_in(prosody, (await account()).jid, "wrong") == "failed_all_auth"


async def test_a_server_that_our_authority_did_not_sign_is_refused(
    prosody: Prosody, account: Make, tmp_path: Path
) -> None:
    user = await account()
    other = certificates.ensure(tmp_path, ["copilot.internal"]).ca_file
    assert await log_in(prosody, user.jid, user.password, ca_file=other) == "ssl_invalid_chain"


async def test_a_client_without_tls_cannot_log_in(prosody: Prosody) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", prosody.port)
    writer.write(
        f"<stream:stream to='{prosody.domain}' version='1.0' xmlns='jabber:client' "
        "xmlns:stream='http://etherx.jabber.org/streams'>".encode()
    )
    features = await asyncio.wait_for(reader.readuntil(b"</stream:features>"), LIMIT_S)
    assert b"<starttls" in features
    assert b"<required/>" in features
    assert b"mechanism" not in features
    writer.close()


async def test_registering_again_changes_the_password(prosody: Prosody, account: Make) -> None:
    user = await account()
    await prosody.register(user.jid.partition("@")[0], 'new "password" \\ ]]')
    assert await log_in(prosody, user.jid, 'new "password" \\ ]]') == "session_start"
    assert await log_in(prosody, user.jid, user.password) == "failed_all_auth"


async def test_a_removed_account_cannot_log_in(prosody: Prosody, account: Make) -> None:
    user = await account()
    assert await log_in(prosody, user.jid, user.password) == "session_start"
    await prosody.remove(user.jid.partition("@")[0])
    assert await log_in(prosody, user.jid, user.password) == "failed_all_auth"


async def test_an_account_made_before_the_first_start_can_log_in(own_prosody: Prosody) -> None:
    jid = await own_prosody.register("early-bird_1.x", "password")
    await own_prosody.start()
    assert await log_in(own_prosody, jid, "password") == "session_start"


async def test_a_restart_keeps_accounts_port_and_authority(own_prosody: Prosody) -> None:
    await own_prosody.start()
    jid = await own_prosody.register("agent", "password")
    port, authority = own_prosody.port, own_prosody.ca_file.read_bytes()
    await own_prosody.stop()
    again = Prosody(own_prosody.directory)
    await again.start()
    try:
        assert (again.port, again.ca_file.read_bytes()) == (port, authority)
        assert await log_in(again, jid, "password") == "session_start"
    finally:
        await again.stop()


async def test_only_admins_are_offered_to_manage_accounts(own_prosody: Prosody) -> None:
    await own_prosody.start()
    offered = {}
    for name in ("admin", "agent"):
        jid = await own_prosody.register(name, "password")
        async with session(own_prosody, jid, "password") as (client, _):
            query = client.make_iq_get(ito=own_prosody.domain)
            query.append(ElementTree.XML(f"<query xmlns='{ITEMS}' node='{COMMANDS}'/>"))
            answer = await query.send(timeout=LIMIT_S)  # type: ignore[no-untyped-call]
            offered[name] = {item.get("node") for item in answer.xml.iter(f"{{{ITEMS}}}item")}
    assert "http://jabber.org/protocol/admin#add-user" in offered["admin"]
    assert "http://jabber.org/protocol/admin#add-user" not in offered["agent"]


async def test_a_taken_port_is_named_instead_of_talking_to_whoever_has_it(
    prosody: Prosody, open_directory: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"Port {port} on 127.0.0.1 is in use"):
            await Prosody(open_directory / "second", port=port).start()


async def test_a_server_that_cannot_start_shows_its_own_words(own_redis: Redis) -> None:
    await own_redis.start()
    await own_redis.stop()
    for log in own_redis.directory.glob("data/**/*.aof"):
        log.write_bytes(b"*1\r\nnonsense")
    with pytest.raises(CopilotError, match=r"redis-server ended with exit code 1(.|\n)*redis-check-aof"):
        await own_redis.start()


async def test_redis_opens_only_with_the_password(redis_server: Redis) -> None:
    with (
        redis_client.Redis(port=redis_server.port, retry=Retry(NoBackoff(), 0)) as stranger,
        pytest.raises(redis_client.AuthenticationError),
    ):
        stranger.ping()


async def test_redis_keeps_what_it_answered_over_kill_9(own_redis: Redis) -> None:
    await own_redis.start()
    url = own_redis.url
    with redis_client.Redis.from_url(url) as before:
        for number in range(100):
            before.rpush("numbers", number)
        os.kill(pid_of(own_redis), signal.SIGKILL)
    assert await own_redis.wait() == -signal.SIGKILL
    await own_redis.start()
    assert own_redis.url == url
    with redis_client.Redis.from_url(url) as after:
        assert after.llen("numbers") == 100


async def test_redis_is_set_up_to_lose_no_job(redis_url: str) -> None:
    with redis_client.Redis.from_url(redis_url) as connection:
        names = ("appendonly", "appendfsync", "save", "maxmemory-policy")
        settings = [connection.config_get(name)[name] for name in names]
    assert settings == ["yes", "always", "", "noeviction"]


async def test_servers_run_as_a_user_without_rights(own_prosody: Prosody, own_redis: Redis) -> None:
    expected = unprivileged_user() or pwd.getpwuid(os.geteuid()).pw_name
    for server in (own_prosody, own_redis):
        await server.start()
        assert psutil.Process(pid_of(server)).username() == expected


def gone(pid: int) -> bool:
    """No such process, or only its entry in the table, where nobody reaps orphans (containers)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_servers_die_with_their_owner_even_if_that_one_is_killed(
    prosody: Prosody, redis_server: Redis, open_directory: Path
) -> None:
    program = textwrap.dedent("""
        import asyncio, pathlib, sys
        from copilot.local.prosody import Prosody
        from copilot.local.redis import Redis

        async def main(directory):
            for server in (Prosody(directory / "prosody"), Redis(directory / "redis")):
                await server.start()
                print(server._child.pid, flush=True)
            await asyncio.Event().wait()

        asyncio.run(main(pathlib.Path(sys.argv[1])))
    """)
    with subprocess.Popen(
        [sys.executable, "-c", program, open_directory], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pids = [int(owner.stdout.readline()) for _ in range(2)]
        assert not any(gone(pid) for pid in pids)
        owner.kill()
    deadline = time.monotonic() + LIMIT_S
    while not all(gone(pid) for pid in pids):
        assert time.monotonic() < deadline, f"{pids} outlived their owner"
        await asyncio.sleep(0.01)


async def test_no_password_is_on_a_command_line_or_in_a_log(own_prosody: Prosody, own_redis: Redis) -> None:
    await own_prosody.start()
    await own_redis.start()
    jid = await own_prosody.register("agent", "a-secret-password")
    assert await log_in(own_prosody, jid, "a-secret-password") == "session_start"
    seen = ""
    for server in (own_prosody, own_redis):
        with contextlib.suppress(psutil.Error):
            seen += " ".join(psutil.Process(pid_of(server)).cmdline())
        seen += "".join(log.read_text() for log in server.directory.glob("*.log*"))
    assert "Authenticated as agent@copilot.internal" in seen
    assert "a-secret-password" not in seen
    assert own_redis.password not in seen
