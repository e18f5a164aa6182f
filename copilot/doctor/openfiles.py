"""openfiles: may programs have as many files open as they have connections?"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Sequence

import psutil

from copilot.config.groups import FileServerSettings
from copilot.doctor.check import Check, in_thread
from copilot.doctor.findings import Finding, ok, skipped, warning
from copilot.doctor.patient import Patient
from copilot.records import dataclass

SPARE = 256  # files that are no connections
SERVERS = ("prosody", "beam.smp", "redis-server", "lua5.4")  # one connection is one file
OF_A_SERVER = 4096
PROGRAMS = ("copilot-fileserver", "copilot-jobmanager-generic", "copilot-storagemanager", "copilot-monitor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """A program that runs here, or (`pid` None) this shell: how many files it may have open, and should."""

    name: str
    pid: int | None
    most: int
    wanted: int


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    server = patient.first(FileServerSettings)
    if server is None:
        return skipped("no manager or file server is set up here")
    return judge(await in_thread(lambda: look(server.files_connections + SPARE)))


def look(connections: int) -> list[Limited]:
    """Programs of ours, and servers that ours talk to, as far as this user may look at them."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    found = [Limited(name="this shell", pid=None, most=_number(hard), wanted=connections)]
    for process in psutil.process_iter(["name", "cmdline"]):
        with contextlib.suppress(psutil.Error, OSError):
            words = " ".join(process.info["cmdline"] or [])
            program = next((one for one in PROGRAMS if f"/{one}" in words), None)
            name = program or process.info["name"] or ""
            if program is None and name not in SERVERS:
                continue
            soft, _ = process.rlimit(psutil.RLIMIT_NOFILE)
            wanted = (
                connections if program == "copilot-fileserver" else OF_A_SERVER if program is None else SPARE
            )
            found.append(Limited(name=name, pid=process.pid, most=_number(soft), wanted=wanted))
    return found


def _number(limit: int) -> int:
    return 2**31 if limit == resource.RLIM_INFINITY else limit


def judge(limits: Sequence[Limited]) -> list[Finding]:
    """Each of them."""
    low = [one for one in limits if one.most < one.wanted]
    if not low:
        return ok(f"at least {min(one.most for one in limits)} each")
    return [
        warning(
            f"{one.name}{'' if one.pid is None else f' (process {one.pid})'} may have {one.most} files open",
            expected=f"{one.wanted} and more: one connection is one file",
            cure="in its systemd unit: LimitNOFILE=65536; else: ulimit -n 65536 before it starts, and "
            "/etc/security/limits.conf",
        )
        for one in low
    ]


CHECK = Check(name="openfiles", about="programs may have enough files open", run=run)
