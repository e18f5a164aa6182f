"""Where a conversation is played: servers, accounts, our programs and those of 2011, by the names in the file."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from copilot.local.chirp import Chirp
from copilot.local.prosody import Prosody
from copilot.store.redis import RedisStore
from tests.conftest import Account
from tests.conversations.files import ChirpFiles
from tests.conversations.ours import Ours, configuration, private
from tests.conversations.peer import Peer
from tests.conversations.secure import Secured
from tests.conversations.stream import Stream

MANAGERS = {"manager": "JM", "storage": "SM"}
PREFIXES = MANAGERS | {"agent": "AGENT", "keymanager": "KM"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """What runs before a conversation begins. `redis` is the URL of an empty one."""

    prosody: Prosody
    chirp: Chirp
    redis: str
    account: Callable[[str], Awaitable[Account]]


@dataclass(slots=True)
class Stage:
    """One conversation's. `variables` are what `{name}` stands for."""

    directory: Path
    servers: Servers
    random: Random
    files: ChirpFiles
    store: RedisStore
    peers: dict[str, Peer] = field(default_factory=dict)
    ours: dict[str, Ours] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    _accounts: dict[str, Account] = field(default_factory=dict)

    async def enter_peer(self, name: str, kind: str, secured: Secured | None = None) -> None:
        """A program of 2011 logs in; `secured` if it is in secure mode."""
        account = await self.account(kind)
        prosody, resource = self.servers.prosody, self.random.randbytes(16).hex()
        stream = await Stream.open(account, resource, port=prosody.port, ca_file=prosody.ca_file)
        self.peers[name] = Peer(stream, account.jid, f"{account.jid}/{resource}", self.random, secured)
        self.variables[f"{name}.full"] = self.peers[name].full_jid

    async def enter_ours(self, name: str, kind: str, settings: dict[str, str]) -> None:
        """One of our programs logs in."""
        account = await self.account(kind)
        if kind in MANAGERS:
            await self.files.trust_managers()
        own = self._own(name, kind)
        prefix = PREFIXES[kind]
        prosody, (localpart, _, domain) = self.servers.prosody, account.jid.partition("@")
        session = {
            "JABBER_SERVER": "127.0.0.1",
            "JABBER_PORT": prosody.port,
            "JABBER_DOMAIN": domain,
            "JABBER_ID": localpart,
            "JABBER_PASSWORD": account.password,
            "JABBER_RESOURCE": name,
            "JABBER_CA_FILE": prosody.ca_file,
        }
        written = configuration(
            self.directory / f"{name}.conf",
            {f"{prefix}_{key}": value for key, value in (session | own).items()} | settings,
        )
        self.ours[name] = await Ours.start(kind, written)
        self.variables[f"{name}.full"] = f"{account.jid}/{name}"

    def _own(self, name: str, kind: str) -> dict[str, object]:
        if kind in MANAGERS:
            return self._manager()
        return {"STATE_DIR" if kind == "keymanager" else "WORK_DIR": private(self.directory / name)}

    def _manager(self) -> dict[str, object]:
        password, _, address = self.servers.redis.removeprefix("redis://:").rpartition("@")
        state = self.directory / "state"  # shared: what one signs, the other must believe
        return {
            "REDIS_SERVER": "127.0.0.1",
            "REDIS_PORT": address.partition(":")[2].partition("/")[0],
            "REDIS_PASSWORD": password,
            "CHIRP_SERVER": "127.0.0.1",
            "CHIRP_PORT": self.servers.chirp.port,
            "CHIRP_WORK_DIR": self.servers.chirp.root,
            "DONE_JOB_DIR": self.directory / "done",
            "STATE_DIR": state if state.exists() else private(state),
        }

    async def account(self, kind: str) -> Account:
        """The account of this kind of program; all of the kind share it."""
        if kind not in self._accounts:
            self._accounts[kind] = await self.servers.account(kind)
            self.variables[kind] = self._accounts[kind].jid
        return self._accounts[kind]


@contextlib.asynccontextmanager
async def staged(directory: Path, servers: Servers, random: Random) -> AsyncIterator[Stage]:
    """Everything that a conversation needs; nothing of it is left afterwards."""
    files, store = ChirpFiles(servers.chirp), RedisStore.from_url(servers.redis)
    stage = Stage(directory, servers, random, files, store)
    private(directory / "done")
    stage.variables |= {"chirp": f"127.0.0.1:{servers.chirp.port}", "port": str(servers.chirp.port)}
    try:
        yield stage
    finally:
        for program in stage.ours.values():
            await program.kill()
        for peer in stage.peers.values():
            await peer.close()
        await files.close()
        await store.close()


@contextlib.asynccontextmanager
async def own_chirp(directory: Path) -> AsyncIterator[Chirp]:
    """A Chirp server of one conversation alone."""
    chirp = Chirp(directory)
    await chirp.start()
    try:
        yield chirp
    finally:
        await chirp.stop()
