"""The ground of a campaign: real servers in one directory, and our programs around them.

Managers: one of both kinds, one that only gives jobs, one that hands files out by Chirp alone, and a storage manager. So
a part of the jobs and of the outputs goes by HTTPS and a part by Chirp, both on one file area.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from copilot.files.area import FileArea
from copilot.files.staging import DiskStaging
from copilot.local.chirp import ACL, Chirp
from copilot.local.ejabberd import Ejabberd
from copilot.local.ports import remembered_port
from copilot.local.process import give, make_directory, unprivileged_user
from copilot.local.prosody import Prosody
from copilot.local.redis import Redis
from copilot.store.base import Store
from copilot.store.redis import RedisStore
from tests.conversations.ours import configuration
from tests.faults import disks
from tests.faults.plan import Plan
from tests.faults.programs import Program
from tests.faults.proxy import Proxy

HOST = "127.0.0.1"
PASSWORD = "of a campaign"
LEASE_S = 6.0
DISPATCH_LIMIT_S = 10.0
AREA_SIZE, WORK_SIZE = "512m", "16m"
SUBJECTS = ("hostname:*", "address:*", "unix:*")
STARTED_AT_ONCE = 4


class ChirpOfPrograms(Chirp):
    """Proves Unix users in /tmp, where clients look unless they are told otherwise."""

    def _arguments(self) -> list[str]:
        return [word for word in super()._arguments() if not word.startswith("--challenge-dir")]


@dataclass(slots=True, kw_only=True)
class Ground:
    """What runs, by name. `disks`: those that can be filled."""

    directory: Path
    xmpp: Prosody | Ejabberd
    redis: Redis
    chirp: Chirp
    proxies: dict[str, Proxy] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    disks: dict[str, Path] = field(default_factory=dict)

    @property
    def area(self) -> FileArea:
        """Where inputs and outputs lie."""
        return FileArea(self.chirp.root)

    @property
    def done(self) -> Path:
        """Where results come to lie."""
        return self.directory / "done"

    def staging(self) -> DiskStaging:
        """Where inputs go."""
        return DiskStaging(self.area, SUBJECTS)

    @contextlib.asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """The queue."""
        store = RedisStore.from_url(self.redis.url)
        try:
            yield store
        finally:
            await store.close()

    def targets(self) -> set[str]:
        """What can be harmed."""
        return {
            "xmpp",
            "redis",
            "chirp",
            "stanzas",
            *self.programs,
            *(f"disk of {name}" for name in self.disks),
        }

    def of(self, kind: str) -> list[Program]:
        """The programs of a kind."""
        return [program for program in self.programs.values() if program.kind == kind]


@contextlib.asynccontextmanager
async def ground(plan: Plan, directory: Path, *, small_disks: bool) -> AsyncIterator[Ground]:
    """Everything runs while inside; the programs are stopped in order on the way out, then the servers."""
    user = unprivileged_user()
    make_directory(directory, user)
    xmpp = (Prosody if plan.server == "prosody" else Ejabberd)(directory / "xmpp")
    made = Ground(
        directory=directory,
        xmpp=xmpp,
        redis=Redis(directory / "redis"),
        chirp=ChirpOfPrograms(directory / "chirp", rights={f"unix:{user or _me()}": "rwldax"}),
    )
    _make_places(made, user, small_disks=small_disks)
    async with contextlib.AsyncExitStack() as stack:
        for one in (made.redis, made.xmpp, made.chirp):
            stack.push_async_callback(one.stop)
            await one.start()
        await _configure(made, plan, stack)
        stack.push_async_callback(stop_programs, made)
        for group in ("files", "manager", "storage", "agent"):
            await _start(made.of(group))
        yield made


async def stop_programs(made: Ground) -> None:
    """Agents first, then those whom they talk to."""
    for group in ("agent", "storage", "manager", "files"):
        await asyncio.gather(*(program.stop() for program in made.of(group)))


async def _start(programs: list[Program]) -> None:
    wanted = asyncio.Semaphore(STARTED_AT_ONCE)

    async def start(program: Program) -> None:
        async with wanted:
            await program.start()

    await asyncio.gather(*(start(program) for program in programs))


def _me() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _make_places(made: Ground, user: str | None, *, small_disks: bool) -> None:
    places = [made.directory / name for name in ("done", "state", "work", "etc")]
    for place in places:
        place.mkdir(mode=0o755)
        give(place, user)
    make_directory(made.chirp.directory, user)
    if not small_disks:
        return
    made.disks = {"area": made.chirp.root, "agent-1": places[2] / "agent-1", "agent-2": places[2] / "agent-2"}
    for name, path in made.disks.items():
        disks.mount(path, AREA_SIZE if name == "area" else WORK_SIZE)
    access = made.chirp.root / ACL
    access.write_text(f"unix:{user} rwldax\n")
    give(access, user)


async def _configure(made: Ground, plan: Plan, stack: contextlib.AsyncExitStack) -> None:
    random = Random(plan.seed)
    agents = range(1, plan.agents + 1)
    for name in ("jm", *(f"agent-{number}" for number in agents)):
        await made.xmpp.register(name, PASSWORD)
    port = remembered_port(made.directory / "files-port", HOST, 0)
    settings: dict[str, Mapping[str, object]] = {"files-1": _manager(made, port)}
    for number in range(1, plan.managers + 1):
        settings[f"manager-{number}"] = _manager(made, port, number)
    settings["storage-1"] = _manager(made, port)
    for number in agents:
        settings[f"agent-{number}"] = _agent(made, f"agent-{number}", random.choice((1, 1, 2)))
    for name, values in settings.items():
        jabber: dict[str, object] = {}
        if not name.startswith("files"):
            made.proxies[name] = proxy = Proxy(made.xmpp.port)
            prefix = {"agent": "AGENT", "manager": "JM", "storage": "SM"}[name.partition("-")[0]]
            jabber = _jabber(made, prefix, name, await proxy.open())
            stack.push_async_callback(proxy.close)
        path = configuration(made.directory / "etc" / f"{name}.conf", {**values, **jabber})
        made.programs[name] = Program(name, path, random.randrange(2**32))


def _jabber(made: Ground, prefix: str, name: str, port: int) -> dict[str, object]:
    account = name if prefix == "AGENT" else "jm"
    values = {
        "SERVER": HOST,
        "PORT": port,
        "DOMAIN": made.xmpp.domain,
        "ID": account,
        "PASSWORD": PASSWORD,
        "RESOURCE": name,
        "CA_FILE": made.xmpp.ca_file,
    }
    return {f"{prefix}_JABBER_{key}": value for key, value in values.items()}


def _manager(made: Ground, files_port: int, number: int = 0) -> dict[str, object]:
    """Of a manager, the storage manager or the file server."""
    tls = made.xmpp.directory / "tls"
    values: dict[str, object] = {
        "JM_REDIS_SERVER": HOST,
        "JM_REDIS_PORT": made.redis.port,
        "JM_REDIS_PASSWORD": made.redis.password,
        "JM_STATE_DIR": made.directory / "state",
        "JM_DONE_JOB_DIR": made.done,
        "JM_CHIRP_SERVER": HOST,
        "JM_CHIRP_PORT": made.chirp.port,
        "JM_CHIRP_WORK_DIR": made.chirp.root,
        "JM_FILES_LISTEN": f"{HOST}:{files_port}",
        "JM_FILES_CERT_FILE": tls / "server.pem",
        "JM_FILES_KEY_FILE": tls / "server.key",
        "JM_LEASE": f"{LEASE_S:g}s",
        "JM_DISPATCH_LIMIT": f"{DISPATCH_LIMIT_S:g}s",
    }
    if number != 3:
        values["JM_FILES_URL"] = f"https://{HOST}:{files_port}"
    if number == 2:
        values["JM_QUEUE_ONLY_MODE_ON"] = 1
    return values


def _agent(made: Ground, name: str, slots: int) -> dict[str, object]:
    work = made.directory / "work" / name
    return {
        "JM_JABBER_ADDRESS": f"jm@{made.xmpp.domain}",
        "AGENT_WORK_DIR": work,
        "AGENT_SLOTS": slots,
        "AGENT_REQUEST_INTERVAL": "1s",
    }
