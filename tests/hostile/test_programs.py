"""The commands as processes, where what they need is wrong or away: one clear line, or patience, and never a traceback."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socketserver
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from copilot.job import JobSpec
from copilot.local import certificates
from copilot.local.process import unprivileged_user
from copilot.local.prosody import Prosody
from copilot.protocol.commands import GetJob, HaveGetJob, RunJob, WantGetJob
from copilot.store.redis import RedisStore
from copilot.transport.settings import XmppSettings
from copilot.transport.xmpp import XmppTransport
from tests.acceptance.running import run, script, service, started, until
from tests.conftest import Account
from tests.contract.store_fixtures import RedisServer, find_program, server_in_new_directory
from tests.contract.transport_fixtures import connected
from tests.hostile.strangers import Stranger, command_of
from tests.patience import PATIENCE_S

PROGRAMS = {"copilot-agent": "AGENT", "copilot-jobmanager-generic": "JM"}
SECRET = "not-to-be-shown"
Variables = dict[str, str]
Make = Callable[..., Awaitable[Variables]]
every_program = pytest.mark.parametrize("name", PROGRAMS)


@pytest.fixture(name="variables")
def variables_fixture(
    prosody: Prosody, account: Callable[..., Awaitable[Account]], place: Path
) -> Callable[[str], Awaitable[Variables]]:
    """Makes the settings of a program, all in order, with an account of its own."""

    async def make(name: str) -> Variables:
        prefix, own = PROGRAMS[name], await account()
        localpart, _, domain = own.jid.partition("@")
        settings = {
            "JABBER_SERVER": "127.0.0.1",
            "JABBER_PORT": str(prosody.port),
            "JABBER_DOMAIN": domain,
            "JABBER_ID": localpart,
            "JABBER_PASSWORD": own.password,
            "JABBER_CA_FILE": str(prosody.ca_file),
        }
        more = {
            "AGENT": {"JM_JABBER_ADDRESS": f"jm@{domain}", "AGENT_WORK_DIR": str(owned(place / "work"))},
            "JM": {
                "JM_REDIS_SOCKET": "/nowhere",
                "JM_QUEUE_ONLY_MODE_ON": "1",
                "JM_FILES_URL": "https://files.example.org",
                "JM_STATE_DIR": str(owned(place / "state")),
            },
        }
        return {f"{prefix}_{key}": value for key, value in settings.items()} | more[prefix] | service()

    return make


@pytest.fixture(name="config")
def config_fixture(place: Path) -> Path:
    """A directory without configuration files: all settings come from the environment."""
    path = place / "etc"
    path.mkdir(mode=0o755)
    return path


@pytest.fixture(name="redis")
def redis_fixture() -> Iterator[RedisServer]:
    """A server of the test's own."""
    with server_in_new_directory("redis-server", unixsocketperm="777") as server:
        server.directory.chmod(0o711)
        yield server


def owned(path: Path) -> Path:
    """A directory of the user as whom services run."""
    path.mkdir(mode=0o700, exist_ok=True)
    if (user := unprivileged_user()) is not None:
        shutil.chown(path, user)
    return path


def at(redis: RedisServer) -> Variables:
    return {"JM_REDIS_SOCKET": f"{redis.directory}/s"}


def refused(name: str, config: Path, variables: Variables, code: int) -> str:
    """The one line with which a program ends at once, with this exit code."""
    ended = run(name, "--config", config, **variables)
    *told, line = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout) == (code, ""), ended.stderr
    assert line.startswith(f"{name}: "), ended.stderr
    assert not [one for one in told if one.startswith(("Traceback", " ", name))]
    assert SECRET not in ended.stderr
    return line


# -- the XMPP server


@every_program
async def test_a_wrong_password_is_one_line_and_the_end(
    name: str, variables: Make, config: Path, redis: RedisServer
) -> None:
    made = await variables(name)
    wrong = made | at(redis) | {f"{PROGRAMS[name]}_JABBER_PASSWORD": SECRET}
    line = refused(name, config, wrong, 1)
    assert f"refused the account {made[f'{PROGRAMS[name]}_JABBER_ID']}@" in line
    assert "it answered not-authorized. Check the account's name and password there and here" in line


@every_program
async def test_an_unknown_certificate_is_one_line_and_the_end(
    name: str, variables: Make, config: Path, redis: RedisServer, place: Path
) -> None:
    place.chmod(0o755)
    other = certificates.ensure(place / "other", ["copilot.internal"]).ca_file
    other.parent.chmod(0o755)
    made = await variables(name) | at(redis)
    line = refused(name, config, made | {f"{PROGRAMS[name]}_JABBER_CA_FILE": str(other)}, 1)
    assert (
        f"The certificate of the XMPP server 127.0.0.1:{made[f'{PROGRAMS[name]}_JABBER_PORT']} was refused"
        in line
    )
    assert f"Trusted: {other}; expected name: copilot.internal. Set the CA file" in line


async def test_of_two_with_a_cloned_resource_the_first_ends_and_the_second_stays(
    variables: Make, config: Path, place: Path
) -> None:
    made = await variables("copilot-agent") | {"AGENT_JABBER_RESOURCE": "cloned"}
    other = made | {"AGENT_WORK_DIR": str(owned(place / "other"))}
    first_out, second_out = place / "first.out", place / "second.out"
    with started("copilot-agent", "--config", config, output=first_out, **made) as first:
        until(lambda: "Ready as" in first_out.read_text(), "the first")
        with started("copilot-agent", "--config", config, output=second_out, **other) as second:
            assert first.wait(PATIENCE_S) == 1
            line = first_out.read_text().splitlines()[-1]
            assert line.startswith("copilot-agent: Another program logged in as ")
            assert line.endswith(
                "Give each program its own resource (cloned machines share theirs), then start again."
            )
            until(lambda: "Ready as" in second_out.read_text(), "the second")
            assert second.poll() is None


# -- directories


@every_program
@pytest.mark.parametrize("obstacle", ["a file", "a parent of somebody else", "no right to write"])
async def test_a_directory_that_cannot_be_written_is_one_line_and_the_end(
    name: str, obstacle: str, variables: Make, config: Path, redis: RedisServer, place: Path
) -> None:
    path = place / "closed"
    if obstacle == "a file":
        path.touch()
    else:
        path.mkdir(mode=0o555)  # of root, or without the right
    if obstacle == "a parent of somebody else":
        path = path / "below"
    key = {"AGENT": "AGENT_WORK_DIR", "JM": "JM_STATE_DIR"}[PROGRAMS[name]]
    line = refused(name, config, await variables(name) | at(redis) | {key: str(path)}, 2)
    assert str(path) in line


# -- Redis


async def test_a_redis_that_is_away_is_waited_for(
    variables: Make, config: Path, place: Path, open_directory: Path
) -> None:
    server = RedisServer(find_program("redis-server"), open_directory)
    made = await variables("copilot-jobmanager-generic") | at(server)
    output = place / "out"
    with started("copilot-jobmanager-generic", "--config", config, output=output, **made) as manager:
        until(lambda: "Redis does not answer" in output.read_text(), "a complaint")
        assert "look whether it runs and can be reached" in output.read_text()
        assert "trying again in 5 s" in output.read_text()
        assert manager.poll() is None
        server.start(unixsocketperm="777")
        try:
            until(lambda: "Ready as" in output.read_text(), "the manager")
        finally:
            server.kill()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"maxmemory-policy": "allkeys-lru"}, "set 'maxmemory-policy noeviction' in its configuration"),
        ({"maxmemory-policy": "volatile-ttl"}, "(maxmemory-policy volatile-ttl), and would lose jobs"),
        ({"requirepass": "other"}, "Redis refuses us"),
    ],
)
async def test_a_redis_that_must_not_be_used_is_one_line_and_the_end(
    variables: Make, config: Path, redis: RedisServer, settings: dict[str, str], told: str
) -> None:
    with redis.client() as client:
        for key, value in settings.items():
            client.config_set(key, value)
    made = await variables("copilot-jobmanager-generic") | at(redis) | {"JM_REDIS_PASSWORD": ""}
    assert told in refused("copilot-jobmanager-generic", config, made, 2)


class OldRedis(socketserver.StreamRequestHandler):
    """Says of itself that it is of 2019, and OK to everything else."""

    def handle(self) -> None:
        while words := self._command():
            info = b"redis_version:5.0.7\r\nredis_mode:standalone\r\nmaxmemory_policy:noeviction\r\n"
            self.wfile.write(
                b"$%d\r\n%s\r\n" % (len(info), info) if words[0].upper() == b"INFO" else b"+OK\r\n"
            )

    def _command(self) -> list[bytes]:
        count = int(self.rfile.readline()[1:] or 0)
        return [self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2] for _ in range(count)]


@contextlib.contextmanager
def old_redis() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), OldRedis) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


async def test_a_redis_that_is_too_old_is_one_line_and_the_end(variables: Make, config: Path) -> None:
    made = await variables("copilot-jobmanager-generic")
    del made["JM_REDIS_SOCKET"]
    with old_redis() as port:
        here = {"JM_REDIS_SERVER": "127.0.0.1", "JM_REDIS_PORT": str(port)}
        line = await asyncio.to_thread(refused, "copilot-jobmanager-generic", config, made | here, 2)
    assert line.endswith("Redis 5.0.7: expected 6.2 or later; install a newer server")


async def test_while_redis_is_read_only_a_request_is_not_acknowledged_and_then_its_copy_is_served(
    prosody: Prosody,
    account: Callable[..., Awaitable[Account]],
    variables: Make,
    config: Path,
    redis: RedisServer,
    place: Path,
) -> None:
    made, own, output = (
        await variables("copilot-jobmanager-generic") | at(redis),
        await account(),
        place / "out",
    )
    manager = f"{made['JM_JABBER_ID']}@{made['JM_JABBER_DOMAIN']}"
    settings = XmppSettings(
        jid=own.jid, password=own.password, host="127.0.0.1", port=prosody.port, ca_file=prosody.ca_file
    )
    store, transport = RedisStore.from_url(redis.url), XmppTransport(settings)
    await store.submit([JobSpec(id="job-1", command="run.sh")])
    await store.close()
    with (
        started("copilot-jobmanager-generic", "--config", config, output=output, **made),
        redis.client() as client,
    ):
        until(lambda: "Ready as" in output.read_text(), "the manager")
        agent = Stranger(transport, await connected(transport))
        try:
            agent.tell(manager, WantGetJob(agent_host="h", jdl="[]"))
            giver, _ = await agent.answer(HaveGetJob)
            request, ident = GetJob(agent_host="h", jdl="[]"), str(uuid.uuid4())
            client.execute_command("REPLICAOF", "127.0.0.1", "1")
            agent.tell(giver, request, ident=ident)
            await asyncio.to_thread(
                until, lambda: "it is a read-only replica: wait for" in output.read_text(), "a complaint"
            )
            client.execute_command("REPLICAOF", "NO", "ONE")
            agent.tell(giver, request, ident=ident)
            assert isinstance(command_of(await agent.acked(ident)), RunJob)
            assert sum(ident in one.acks for one in agent.heard) == 1
        finally:
            await transport.close()


async def test_while_redis_is_full_a_job_is_refused_whole_with_one_line_and_later_taken(
    config: Path, redis: RedisServer, place: Path
) -> None:
    files, command = owned(place / "files"), script(place / "job.sh", "true")
    made = at(redis) | {"JM_FILES_URL": "https://files.example.org", "JM_FILES_DIR": str(files)}
    submit = ("copilot-job-submit", "--config", config, "--command", command, "--id", "job-1")
    with redis.client() as client:
        client.config_set("maxmemory", "1")
        ended = run(*submit, **made)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (75, "", 1), ended.stderr
        assert "the queue is full: Redis uses more than 80% of its memory" in ended.stderr
        assert client.dbsize() == 0
        assert list(files.iterdir()) == []
        client.config_set("maxmemory", "0")
    assert run(*submit, **made).stdout == "job-1\n"
