"""Hostile payloads, run by a real agent's service beside a job of somebody else; for `test_payloads`.

    python -m tests.hostile.payloads LEVEL DIRECTORY SCENARIO…

prints one line of JSON for each scenario. LEVEL is `root` (as it is), `user` (becomes an ordinary one) or `bare` (the same, without a
sandbox). It is a process of its own, so that the test can put a fence around it.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import shutil
import socket
import sys
import tarfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from copilot.agent.effects import Assignment, Execute, Forget, Note, Remember
from copilot.agent.isolation.base import Isolation, Network
from copilot.agent.isolation.choosing import SandboxContext, choose
from copilot.agent.limits.keeping import Keeping, LimitsWish, keep
from copilot.agent.processes import become_subreaper
from copilot.agent.service import AgentService, ServiceSettings
from copilot.cli.identity import RUN_AS, become_configured_user
from copilot.files.clients import Files
from copilot.job import Limits, Outcome
from copilot.local.process import unprivileged_user
from copilot.protocol.commands import Job, JobInput

MEBIBYTE = 1024 * 1024
LIMIT_S = 20.0  # of a payload
MOST = Limits(memory=192 * MEBIBYTE, processes=40, open_files=128, disk=32 * MEBIBYTE)
MOST_FILES = 2000
SECRET = "the-password-of-the-agent"
MARK = f"9{os.getpid()}"  # s that a daemon of ours sleeps: nobody else has that number


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A payload. In its text `{agent}` is the agent's pid, `{work}` its work directory, `{port}` a port on which something listens;
    `fields` are the job's."""

    text: str
    fields: dict[str, Any] = field(default_factory=dict)


PERL = "#!/usr/bin/perl\n"
SH = "#!/bin/sh\n"
SCENARIOS = {
    "fork bomb": Scenario(text=f"{PERL}while (1) {{ fork }}"),
    "fork bomb of sessions": Scenario(
        text=f"{PERL}use POSIX; while (1) {{ unless (fork) {{ POSIX::setsid(); }} }}"
    ),
    "memory hog": Scenario(
        text=f"{PERL}while (1) {{ push @x, 'a' x 4000000; select undef, undef, undef, 0.01 }}"
    ),
    "memory hog of many": Scenario(
        text=f"{PERL}for (1..8) {{ fork or last }} $x = 'a' x 60000000; sleep 60;"
    ),
    "memory at once": Scenario(text=f"{PERL}$n = 900000000; $x = 'a' x $n; sleep 60"),
    "large file": Scenario(text=f"{SH}head -c 400000000 /dev/zero >big; sleep 60"),
    "many files": Scenario(text=f"{PERL}for (1..1000000) {{ open F, '>', $_ }} sleep 60"),
    "file without a name": Scenario(
        text=f"{PERL}open F, '>', 'x'; unlink 'x'; print F 'a' x 100000000; F->flush; sleep 60"
    ),
    "locked directory": Scenario(
        text=f"{SH}mkdir -p a/b && head -c 100000000 /dev/zero >a/b/big; chmod 0 a/b a; sleep 60"
    ),
    "file size": Scenario(text=f"{SH}head -c 9000000 /dev/zero >big", fields={"file_size": 4 * MEBIBYTE}),
    "CPU burner": Scenario(text=f"{PERL}while (1) {{}}", fields={"cpu_time": 1.0}),
    "CPU burner that ignores signals": Scenario(
        text=f"{PERL}$SIG{{$_}} = 'IGNORE' for keys %SIG; fork; while (1) {{}}", fields={"cpu_time": 1.0}
    ),
    "daemon": Scenario(
        text=f"{PERL}use POSIX; %ENV = (); unless (fork) {{ POSIX::setsid(); fork and exit; "
        "exec {'/bin/sleep'} '/bin/sleep', '{mark}' } wait; sleep 1 unless -e '/proc/1'"
    ),
    "proc": Scenario(
        text=f"{SH}cat /proc/{{agent}}/environ /proc/{{agent}}/cmdline /proc/{{agent}}/maps && echo GOT agent\n"
        f"grep -s -a -l {SECRET[:12]} /proc/[0-9]*/environ && echo GOT environment\nenv | grep {SECRET} && echo GOT own"
    ),
    "files of the agent": Scenario(
        text=f"{SH}for f in {{work}}/secret {{work}}/ca.pem /etc/shadow; do cat $f && echo GOT $f; done\nls {{work}} && echo GOT work"
        "\nfor w in {work} /etc /usr /var/tmp /; do echo x >$w/written && echo GOT $w; done; exit 0"
    ),
    "network": Scenario(
        text=f"{PERL}use Socket; socket(S, PF_INET, SOCK_STREAM, 0);\n"
        "print 'GOT network' if connect(S, sockaddr_in({port}, inet_aton('127.0.0.1')));\n"
        "socket(U, PF_UNIX, SOCK_STREAM, 0); print 'GOT unix' if connect(U, pack('Sa*', 1, \"\\0copilot-{port}\"));"
    ),
    "network that was asked for": Scenario(
        text=f"{PERL}use Socket; socket(S, PF_INET, SOCK_STREAM, 0);\n"
        "print 'connected' if connect(S, sockaddr_in({port}, inet_aton('127.0.0.1')));",
        fields={"network": True},
    ),
    "signals": Scenario(
        text=f"{PERL}print 'GOT signal' if kill 'TERM', {{agent}}; kill 'KILL', -1; print \"\\nlives\";"
    ),
    "ptrace": Scenario(
        # PTRACE_SEIZE and process_vm_readv of x86-64
        text=f"{PERL}print 'GOT ptrace' if syscall(101, 0x4206, {{agent}}, 0, 0) == 0; print 'done';"
    ),
    "system calls": Scenario(
        text=f"{PERL}%n = (mount => 165, bpf => 321, keyctl => 250, userfaultfd => 323, perf => 298, kexec => 246,\n"
        "  module => 175, reboot => 169);\n"
        'for (sort keys %n) {{ $r = syscall($n{{$_}}, 0, 0, 0, 0, 0); print "$_ ", $r < 0 ? 0 + $! : \'GOT\', "\\n" }}\n'
        "print 'GOT userns' if syscall(272, 0x10000000) == 0;"
    ),
    "links": Scenario(
        text=f"{SH}ln -s /etc/shadow shadow; ln -s {{work}}/secret secret; ln -s {{work}} work; ln -s / root; mkdir d; ln -s ../../.. d/up\n"
        "ln {work}/secret hard; rm -f job.sh; ln -s {work}/secret job.sh; echo ok"
    ),
    "descriptors": Scenario(text=f"{SH}exec ls -l /proc/self/fd"),
}


class World:
    """An agent's service with two slots, a neighbour's job in one of them."""

    def __init__(self, work: Path, isolation: Isolation, keeping: Keeping) -> None:
        self.work = work
        self.shared = work.parent / "shared"
        self.shared.mkdir(exist_ok=True)
        settings = ServiceSettings(
            work_dir=work,
            package_tool=(),
            max_output=4 * MEBIBYTE,
            isolation=isolation,
            keeping=keeping,
            network=Network.ASKED,
        )
        self.service = AgentService(settings, Files.standard(shared=(self.shared,)))
        self._made = 0

    async def run(self, name: str, text: str, **fields: Any) -> tuple[Outcome, dict[str, bytes]]:
        """How it ended, and its output."""
        self._made += 1
        path = self.shared / f"{self._made}.sh"
        path.write_text(text)
        size, sha256 = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
        command = JobInput(name="job.sh", url=path.as_uri(), size=size, sha256=sha256)
        values = {"attempt": 1, "max_run_time": LIMIT_S, "network": False, **fields}
        job = Job(id=f"{name}-{self._made}", command="job.sh", inputs=(command,), **values)
        assignment = Assignment(job=job, manager="jm@x", claim="claim")
        self.service.perform(Remember(note=Note(assignment=assignment)))
        pending = self.service.perform(Execute(assignment=assignment))
        assert pending is not None
        outcome = await pending
        files = {}
        if (package := self.service.package(assignment)) is not None:
            with tarfile.open(fileobj=io.BytesIO(package)) as archive:
                for member in archive.getmembers():
                    taken = archive.extractfile(member) if member.isfile() else None
                    files[member.name.partition("/")[2]] = (
                        member.linkname.encode() if taken is None else taken.read()
                    )
        forgotten = self.service.perform(Forget(assignment=assignment))
        assert forgotten is not None
        await forgotten
        return outcome, files


async def scenario(world: World, name: str) -> dict[str, Any]:
    """What became of it, and of the job beside it."""
    one = SCENARIOS[name]
    (world.work / "secret").write_text(SECRET)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(f"\0copilot-{port}")
    unix.listen()
    text = one.text.replace("{agent}", str(os.getpid())).replace("{work}", str(world.work))
    text = text.replace("{mark}", MARK)
    text = text.replace("{port}", str(port)).replace("{{", "{").replace("}}", "}")
    begun, cpu = time.monotonic(), time.process_time()
    neighbour = asyncio.ensure_future(world.run("neighbour", f"{SH}sleep 0.5; seq 1 1000 | wc -l"))
    outcome, files = await world.run("hostile", text, **one.fields)
    took, own = time.monotonic() - begun, time.process_time() - cpu
    beside, output = await neighbour
    listener.close()
    unix.close()
    return {
        "scenario": name,
        "cause": outcome.cause,
        "exit_code": outcome.exit_code,
        "reason": outcome.reason,
        "tail": outcome.tail,
        "sandbox": outcome.sandbox,
        "cpu_time": outcome.cpu_time,
        "memory": outcome.memory,
        "disk": outcome.disk,
        "files": {name: data[:4000].decode(errors="replace") for name, data in files.items()},
        "took": took,
        "own": own,
        "neighbour": [beside.cause, output["stdout"].decode().strip()],
        "left": left(world.work),
    }


def left(work: Path) -> list[str]:
    """What still runs of a payload, and what lies in the place of attempts."""
    found = [path.name for path in (work / "jobs").iterdir() if not path.name.startswith(".spare")]
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if MARK.encode() in words or any(str(work / "jobs").encode() in word for word in words):
                found.append(f"{process.name}: {words!r}")
    return found


async def main(level: str, directory: Path, names: list[str]) -> None:
    """Everything, one after the other."""
    os.environ["AGENT_JABBER_PASSWORD"] = SECRET
    work = directory / "work"
    work.mkdir(mode=0o700)
    become_subreaper()
    isolation = choose("none" if level == "bare" else "bubblewrap", SandboxContext(work_dir=work))
    wish = LimitsWish.AUTO if level == "root" else LimitsWish.WATCH
    keeping = keep(wish, MOST, MOST_FILES)
    sys.stdout.write(json.dumps({"isolation": isolation.level, "limits": keeping.level}) + "\n")
    world = World(work, isolation, keeping)
    for name in names:
        sys.stdout.write(json.dumps(await scenario(world, name)) + "\n")
        sys.stdout.flush()
    world.service.close()


def become_ordinary(directory: Path) -> None:
    """Give root up, as the daemons of the embedded system do."""
    user = unprivileged_user()
    assert user is not None
    shutil.chown(directory, user)
    os.environ[RUN_AS] = user
    become_configured_user()


if __name__ == "__main__":
    chosen, place = sys.argv[1], Path(sys.argv[2])
    if chosen != "root" and os.geteuid() == 0:
        become_ordinary(place)
    os.chdir("/")
    asyncio.run(main(chosen, place, sys.argv[3:]))
