"""Which isolation payloads of this agent get: what the operator wants, tried with a real process before it is believed."""

from __future__ import annotations

import logging
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from copilot.agent.isolation.base import NONE, Account, Allowed, Bare, Isolation, NoIsolation, Place
from copilot.agent.isolation.bubblewrap import CHANGER, PROGRAM, Bubblewrap
from copilot.agent.isolation.bubblewrap import NAME as BUBBLEWRAP
from copilot.agent.isolation.first import Report
from copilot.agent.isolation.seccomp import native_filter
from copilot.agent.trees import remove_tree
from copilot.records import dataclass

log = logging.getLogger("copilot.agent")

AUTO = "auto"
GROUP = "copilot.sandboxes"  # entry points: `make(context: SandboxContext) -> Isolation`, which raises `NoIsolation`
TRIAL_LIMIT = 10.0  # s
# There are more processes of this user than that: the shell in the namespace, what started it, and who asks.
_FEW = "{ ulimit -u 2 2>/dev/null || ulimit -p 2; } || exit 125"
_TRIAL = 'echo "$HOME" >made && echo >"$TMPDIR/made" && read line <made && echo "$line"'
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxContext:
    """What a maker of isolation may go by. `hidden`: files and directories of the agent, symlinks resolved; `shown`: more
    directories that payloads may read; `user`: under whose name payloads run where the agent is root."""

    work_dir: Path
    hidden: tuple[Path, ...] = ()
    shown: tuple[str, ...] = ()
    user: str = "nobody"

    @property
    def account(self) -> Account | None:
        """None: payloads run as the agent's user. Raises `NoIsolation`."""
        if os.geteuid() != 0:
            return None
        try:
            found = pwd.getpwnam(self.user)
        except KeyError as error:
            raise NoIsolation(
                f"there is no user {self.user!r} for payloads: make one, or set AGENT_SANDBOX_USER"
            ) from error
        if found.pw_uid == 0:
            raise NoIsolation(
                f"the user {self.user!r} for payloads is root: set AGENT_SANDBOX_USER to another"
            )
        return Account(uid=found.pw_uid, gid=found.pw_gid)


def choose(wish: str, context: SandboxContext) -> Isolation:
    """The isolation of that name or, for `auto`, the best that works here. Blocks for some ms. Raises `NoIsolation`."""
    if wish == NONE:
        return Bare()
    if wish == AUTO:
        try:
            return bubblewrap(context)
        except NoIsolation as error:
            log.warning("payloads run without a sandbox: %s", error)
            return Bare()
    if wish == BUBBLEWRAP:
        return bubblewrap(context)
    from importlib.metadata import entry_points  # 2 MB

    known = {point.name: point for point in reversed(entry_points(group=GROUP))}
    if wish not in known:
        raise NoIsolation(
            f"no sandbox {wish!r} is installed (entry points {GROUP}); known: "
            f"{', '.join(sorted({AUTO, NONE, BUBBLEWRAP, *known}))}"
        )
    make: Callable[[SandboxContext], Isolation] = known[wish].load()
    isolation = make(context)
    if (fault := fault_of(isolation, context)) is not None:
        raise NoIsolation(f"the sandbox {wish!r} does not work here: {fault}")
    return isolation


def bubblewrap(context: SandboxContext) -> Isolation:
    """With all that works here. Raises `NoIsolation`."""
    account = context.account
    program = find_program(PROGRAM, "bubblewrap")
    best = Bubblewrap(
        program=program,
        account=account,
        changer=CHANGER if account is None else find_program(CHANGER, "util-linux"),
        hidden=(context.work_dir, *context.hidden),
        shown=context.shown,
        filter=native_filter(),
    )
    faults: list[str] = []
    for isolation in _weaker(best):
        fault = fault_of(isolation, context)
        if fault is None:
            if faults:
                log.warning("the sandbox is %s only: %s", isolation.level, faults[0])
            counted = replace(isolation, counts_processes=True)
            return counted if account is None and fault_of(counted, context, _FEW) is None else isolation
        faults.append(fault)
    raise NoIsolation(f"{PROGRAM} does not work here: {faults[0]}")


def find_program(program: str, package: str) -> str:
    """Its path. Raises `NoIsolation`, saying which package to install."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_PATH}")
    if path is None:
        raise NoIsolation(f"{program} is not installed; install {package}")
    return path


def _weaker(best: Bubblewrap) -> Iterator[Bubblewrap]:
    """The best, then without what not every kernel or container allows."""
    yield best
    if best.filter:
        yield replace(best, filter=b"")
    yield replace(best, network=False)
    if best.filter:
        yield replace(best, network=False, filter=b"")


def fault_of(
    isolation: Isolation, context: SandboxContext, preamble: str = "", *, limit: float = TRIAL_LIMIT
) -> str | None:
    """What a real process in a real directory comes to grief with; None if it does not."""
    jobs = context.work_dir / "jobs"
    jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix=".trial-", dir=jobs))
    try:
        place = Place(payload=root / "payload", temporary=root / "tmp", wrapper=root / "wrapper")
        for path in (place.payload, place.temporary):
            path.mkdir(mode=0o700)
            if isolation.account is not None:
                os.chown(path, isolation.account.uid, isolation.account.gid)
        return _try(isolation, place, preamble, limit)
    except subprocess.TimeoutExpired:
        return f"it did not end within {limit:g} s"
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    finally:
        remove_tree(root)


def _try(isolation: Isolation, place: Place, preamble: str, limit: float) -> str | None:
    inside, report = isolation.inside(place), Report.open()
    try:
        mine = {"PATH": _PATH, "HOME": str(inside.payload), "TMPDIR": str(inside.temporary)}
        allowed = Allowed(preamble=preamble, environment=mine)
        with isolation.launch(["/bin/sh", "-c", _TRIAL], place, allowed) as launch:
            ended = subprocess.run(
                launch.argv,
                stdin=report.descriptor if launch.contained else subprocess.DEVNULL,
                capture_output=True,
                env=mine if launch.environment is None else launch.environment,
                cwd=launch.cwd,
                pass_fds=launch.descriptors,
                start_new_session=True,
                timeout=limit,
                check=False,
            )
        said = ended.stderr.decode(errors="replace").strip()
        if launch.contained and not (end := report.read(ended.returncode)).began:
            return said or end.said or f"it ended with {ended.returncode}"
        if ended.returncode != 0 or ended.stdout.decode().strip() != str(inside.payload):
            return said or f"it ended with {ended.returncode}"
    finally:
        report.close()
    if not (place.payload / "made").exists() or not (place.temporary / "made").exists():
        return "what it writes does not arrive in its directory"
    return None
