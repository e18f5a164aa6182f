"""The ground of a campaign: the embedded system with two honest agents, Prosody as the sample configuration has it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import psutil

from copilot.local.process import make_directory, unprivileged_user
from copilot.local.prosody import Prosody
from copilot.local.redis import Redis
from copilot.store.redis import RedisStore
from tests.acceptance.running import Up, VariedSystem
from tests.acceptance.shown import Shown
from tests.attack.plan import Plan

AGENTS, SLOTS = 2, 2
SHOWN = ("JM", "SM", "MON", "JM_FILES")  # whose metrics are read
UNREAD = {  # reasons for which a message is dropped before its command counts as one
    *("too-fast", "stranger-too-fast", "malformed", "bad-value", "unknown-command", "missing-attribute"),
    *("no-command", "too-large", "not-opened", "no-room"),
}
REASONS = ("copilot_messages_dropped_total", "copilot_messages_refused_total")


class AttackedSystem(VariedSystem):
    """The embedded system. What is not written in the settings is as an operator gets it."""

    def pids(self) -> dict[str, int]:
        """The processes of its servers and programs, by name."""
        found = {}
        for service in self._services:
            child = getattr(service, "_child", None)
            if child is not None:
                found[service.name.lower()] = int(child.pid)
        return found


class Ground:
    """What an attack has in its hands."""

    def __init__(self, system: AttackedSystem, shown: Shown, plan: Plan) -> None:
        self.system, self.shown, self.plan = system, shown, plan
        self.up = Up(system.places.root)  # for those who only look there for the servers
        self.jobs: list[str] = []  # of honest users
        self.xmpp_port = Prosody(system.places.root / "prosody").port
        self.store = RedisStore.from_url(Redis(system.places.root / "redis").url)

    @property
    def root(self) -> Path:
        """The directory of all."""
        return self.system.places.root

    @property
    def files_port(self) -> int:
        """Of the file server."""
        return int((self.root / "files-port").read_text())

    @property
    def dashboard_port(self) -> int:
        """Of the dashboard."""
        return self.system.dashboard_port

    async def refused(self) -> Counter[str]:
        """How much had no effect since the start, by reason, over all programs that are asked."""
        found: Counter[str] = Counter()
        for name, value in (await self.shown.sums()).items():
            if name.startswith(REASONS) and value:
                found[name.partition('="')[2].rstrip('"}')] += int(value)
            if name.startswith("copilot_fileserver_requests_total") and '"4xx"' in name and value:
                found["http 4xx"] += int(value)
        return found

    async def reached(self) -> float:
        """How many messages the server has handed to the job manager since its start."""
        shown = await self.shown.by("JM")
        return sum(
            value
            for name, value in shown.items()
            if name.startswith("copilot_messages_received_total")
            or (name.startswith(REASONS[0]) and name.partition('="')[2].rstrip('"}') in UNREAD)
        )

    def memory(self) -> dict[str, int]:
        """Resident bytes by program."""
        return {name: psutil.Process(pid).memory_info().rss for name, pid in self.system.pids().items()}

    def used(self) -> dict[str, float]:
        """Seconds of CPU by program."""
        times = {name: psutil.Process(pid).cpu_times() for name, pid in self.system.pids().items()}
        mine = psutil.Process().cpu_times()
        return {
            **{name: one.user + one.system for name, one in times.items()},
            "attacker": mine.user + mine.system,
        }

    def log_lines(self) -> dict[str, int]:
        """How long the logs of our programs are."""
        return {path.stem: path.read_bytes().count(b"\n") for path in self.system.places.log.glob("*.log")}


@contextlib.asynccontextmanager
async def ground(plan: Plan, directory: Path) -> AsyncIterator[Ground]:
    """Everything runs while inside."""
    make_directory(directory, unprivileged_user())
    directory.chmod(0o755)
    system = AttackedSystem(directory / "system", agents=AGENTS, monitor=True)
    shown = Shown(directory / "system", SHOWN)
    shown.switch_on(system)
    system.more = (*system.more, ("AGENT_SLOTS", str(SLOTS)))
    async with system.running():
        made = Ground(system, shown, plan)
        try:
            yield made
        finally:
            await made.store.close()


def open_files() -> None:
    """Room for many connections."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
