"""Set-ups, good ones and broken ones, written as an operator writes them; and what the doctor finds there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from copilot.cli.doctor import settings
from copilot.cli.queue import open_store
from copilot.clock import SystemClock
from copilot.doctor.check import check_up
from copilot.doctor.findings import Result, Verdict
from copilot.doctor.patient import Patient
from copilot.doctor.table import chosen
from copilot.local.ejabberd import Ejabberd
from copilot.local.prosody import Prosody
from copilot.local.redis import Redis

PASSWORD = "a-secret-password"
# What other work on this machine may slow down: no fault of the set-up.
BY_TIME = {"xmpp-rate", "redis-latency", "xmpp-nagle"}


class Shifted(SystemClock):
    """The clock of a machine that is so many seconds ahead."""

    def __init__(self, ahead: float) -> None:
        self._ahead = ahead

    def wall(self) -> float:
        return time.time() + self._ahead


class Setup:
    """A configuration directory, and the doctor on it."""

    def __init__(self, directory: Path) -> None:
        self.etc = directory / "etc"
        self.state = directory / "state"
        self.scratch = directory / "scratch"
        for path in (self.etc, self.state, self.scratch):
            path.mkdir(mode=0o700)
        self.files: dict[str, dict[str, object]] = {}

    def write(self, name: str, values: Mapping[str, object]) -> None:
        """Set these keys in a file, besides those that it has."""
        self.files.setdefault(name, {}).update(values)
        path = self.etc / name
        path.write_text("".join(f"{key} {value}\n" for key, value in self.files[name].items()))
        path.chmod(0o600)

    def manager(self, **values: object) -> None:
        """Set keys of the job manager."""
        self.write("copilot-jobmanager-generic.conf", values)

    def agent(self, **values: object) -> None:
        """Set keys of an agent."""
        self.write("copilot-agent.conf", values)

    async def examined(
        self,
        *names: str,
        ahead: float = 0.0,
        nameserver: tuple[str, int] | None = None,
        files_url: str | None = None,
    ) -> dict[str, Result]:
        """What these checks find, by name."""
        patient = Patient(
            read=settings(self.etc, self.etc),
            place=self.etc,
            clock=Shifted(ahead),
            scratch=self.scratch,
            open_store=open_store,
            nameserver=nameserver,
            files_url=files_url,
            raises=True,
        )
        found = {result.check: result async for result in check_up(chosen(names), patient)}
        told = "".join(finding.seen + finding.cure for one in found.values() for finding in one.findings)
        assert PASSWORD not in told
        return found

    async def fault(self, name: str, kind: Verdict = Verdict.FAULT, **options: float) -> str:
        """What a check sees, which must be one thing of this kind, with something to do about it."""
        (finding,) = (await self.examined(name, **options))[name].findings  # type: ignore[arg-type]
        assert (finding.verdict, bool(finding.cure)) == (kind, True), finding
        return finding.seen


def session(prefix: str, server: Prosody | Ejabberd, account: str) -> dict[str, object]:
    """Keys of a log-in."""
    return {
        f"{prefix}_JABBER_SERVER": "127.0.0.1",
        f"{prefix}_JABBER_PORT": server.port,
        f"{prefix}_JABBER_DOMAIN": server.domain,
        f"{prefix}_JABBER_ID": account,
        f"{prefix}_JABBER_PASSWORD": PASSWORD,
        f"{prefix}_JABBER_CA_FILE": server.ca_file,
    }


async def managed(setup: Setup, server: Prosody | Ejabberd, account: str, redis: Redis | None = None) -> None:
    """The job manager of a system on this server; its queue is on `redis`, or where nobody listens."""
    await server.register(account, PASSWORD)
    area, done = setup.state / "files", setup.state / "done"
    for path in (area, done):
        path.mkdir(mode=0o700)
    setup.manager(
        **session("JM", server, account),
        JM_REDIS_SERVER="127.0.0.1",
        JM_REDIS_PORT=1 if redis is None else redis.port,
        JM_FILES_URL="http://127.0.0.1:1",
        JM_FILES_DIR=area,
        JM_DONE_JOB_DIR=done,
        JM_STATE_DIR=setup.state,
        HB_CHAT_SERVER=f"conference.{server.domain}",
        HB_CHAT_ROOM="doctors-lounge",
    )
    if redis is not None:
        setup.manager(JM_REDIS_PASSWORD=redis.password)


def unwell(found: Mapping[str, Result], but: Sequence[str] = ()) -> dict[str, str]:
    """What is a fault or a warning, by check; `but` those of these names."""
    return {
        name: result.findings[0].seen
        for name, result in found.items()
        if result.verdict in (Verdict.FAULT, Verdict.WARNING) and name not in but
    }
