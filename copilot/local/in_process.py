"""The whole system in one process, without any server: memory for network and queue, a directory for files.

For examples, for tests, and for trying a job script out. Nothing outlives the process but the files.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import socket
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from copilot.agent.logic import Agent, AgentSettings
from copilot.agent.processes import become_subreaper
from copilot.agent.service import AgentService, ServiceSettings
from copilot.client.at_queue import QueueAccess
from copilot.clock import SystemClock
from copilot.files.area import FileArea
from copilot.files.clients import Files
from copilot.files.signing import UrlSigner
from copilot.files.staging import DiskStaging
from copilot.grid.done import DoneDirectory
from copilot.host import read_host
from copilot.jobmanager.logic import JobManager, JobManagerSettings
from copilot.jobmanager.reaching import Reaching
from copilot.protocol.claim import SECRET_BYTES, Claims
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.envelope import bare
from copilot.protocol.jdl import host_jdl
from copilot.protocol.rules import FEATURES, Role
from copilot.protocol.security import Security
from copilot.records import dataclass
from copilot.runtime.compose import Parts
from copilot.runtime.hints import hinted
from copilot.runtime.loop import Loop
from copilot.storagemanager.directories import Directories
from copilot.storagemanager.disk import DiskStorage
from copilot.storagemanager.logic import StorageManager
from copilot.store.base import Store
from copilot.store.memory import MemoryStore
from copilot.transport.base import Transport
from copilot.transport.memory import MemoryNetwork, MemoryTransport

DOMAIN = "copilot.internal"
MANAGER = f"jobmanager@{DOMAIN}"
DAY = 24 * 3600.0  # s
MAX_OUTPUT = 2**30  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class InProcess:
    """A running system: put jobs on `store` with their files in `area`; outputs appear below `done`."""

    store: Store
    area: FileArea
    done: Path
    manager: Endpoint
    agents: tuple[Endpoint, ...]


@contextlib.asynccontextmanager
async def in_process(
    directory: Path,
    store: Store,
    *,
    agents: int = 1,
    connect: Callable[[str], Transport] | None = None,
    security: Callable[[str], Security | None] = lambda _: None,
) -> AsyncIterator[InProcess]:
    """One manager and some agents while inside; everything is stopped on the way out.

    `connect` makes the session of a full JID; without it all talk over a network in memory. `security` is the secure mode of a
    bare JID.
    """
    for name in ("files", "done"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    area, done = FileArea(directory / "files"), directory / "done"
    network = MemoryNetwork()
    connect = connect or (lambda jid: MemoryTransport(network, jid))
    become_subreaper()
    loops = [_manager(connect(f"{MANAGER}/one"), store, area, done, security(MANAGER))]
    names = {number: f"agent-{number}@{DOMAIN}/a" for number in range(1, agents + 1)}
    loops += [
        _agent(connect(name), directory, number, security(bare(name))) for number, name in names.items()
    ]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(loop.run()) for loop, _ in loops]
        manager, *others = (endpoint for _, endpoint in loops)
        async with hinted(loops[0][0], store):
            yield InProcess(store=store, area=area, done=done, manager=manager, agents=tuple(others))
        for loop, _ in loops[1:]:  # agents first: they have something to give back
            loop.stop()
        await asyncio.gather(*tasks[1:])
        loops[0][0].stop()


@contextlib.asynccontextmanager
async def alone(*, agents: int = 1) -> AsyncIterator[QueueAccess]:
    """A system of its own for a client or an executor, in a directory that goes away with it: to try things out."""
    with tempfile.TemporaryDirectory(prefix="copilot-") as directory:
        async with in_process(Path(directory), MemoryStore(), agents=agents) as system:
            staging = DiskStaging(system.area, agents=())
            access = QueueAccess(system.store, staging, done=system.done)
            try:
                yield access
            finally:
                await access.close()


def _manager(
    transport: Transport, store: Store, area: FileArea, done: Path, security: Security | None
) -> tuple[Loop, Endpoint]:
    secret = secrets.token_bytes(SECRET_BYTES)
    claims, urls = Claims(MANAGER, [secret]), UrlSigner(area.root.as_uri(), secret, SystemClock())
    outputs = Directories(
        DiskStorage(area), DoneDirectory(done), urls=urls, lifetime=DAY, max_size=MAX_OUTPUT
    )
    parts = Parts(
        [
            JobManager(store, claims, JobManagerSettings(), urls=urls, contents=area, random=random.random),
            Reaching(store),
            StorageManager(store, claims, outputs, random=random.random),
        ]
    )
    endpoint = _endpoint(Role.JOB_MANAGER | Role.STORAGE_MANAGER, security)
    return Loop(parts, endpoint, transport), endpoint


def _agent(
    transport: Transport, directory: Path, number: int, security: Security | None
) -> tuple[Loop, Endpoint]:
    work_dir = directory / "work" / f"agent-{number}"
    work_dir.mkdir(parents=True, exist_ok=True)
    files = Files.standard(shared=(directory / "files",))
    settings = ServiceSettings(work_dir=work_dir, package_tool=("false",), max_output=MAX_OUTPUT)
    service = AgentService(settings, files)
    logic = Agent(
        AgentSettings(manager=MANAGER, host=socket.gethostname(), request_interval=1.0),
        jdl=lambda: host_jdl(read_host(work_dir), {}),
        has_file=lambda path: Path(path).exists(),
        random=random.random,
        wall=SystemClock().wall,
        phase=service.phase,
        package=service.package,
    )
    endpoint = _endpoint(Role.AGENT, security, trusts=logic.trusts)
    return Loop(logic, endpoint, transport, performer=service, announce_to=MANAGER), endpoint


def _endpoint(
    role: Role, security: Security | None, trusts: Callable[[str], bool] = lambda _: True
) -> Endpoint:
    return Endpoint(
        role,
        new_id=lambda: str(uuid.uuid4()),
        random=random.random,
        features=FEATURES,
        trusts=trusts,
        security=security,
    )
