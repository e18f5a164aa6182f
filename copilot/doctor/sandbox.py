"""sandbox: can an agent of this machine keep payloads apart?"""

from __future__ import annotations

from pathlib import Path

from copilot.agent.config import AgentConfig
from copilot.agent.isolation.base import NONE, NoIsolation
from copilot.agent.isolation.choosing import AUTO, SandboxContext, bubblewrap, choose
from copilot.doctor.check import Check, in_thread
from copilot.doctor.findings import Finding, fault, ok, skipped, warning
from copilot.doctor.patient import Patient
from copilot.records import dataclass

LIMIT = 12.0  # s: up to five trials
# Settings of the kernel that may forbid ordinary users their own namespaces: file, the value that forbids, and the cure.
FORBIDDING = (
    ("sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    ("sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=15000"),
    (
        "sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "an AppArmor profile for bwrap with 'userns,', or sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """The level that works, or why none does; `forbidden`: cures for what the kernel forbids."""

    level: str = ""
    why: str = ""
    forbidden: tuple[str, ...] = ()


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    config = patient.agent
    if config is None:
        return skipped("no agent is set up here")
    if config.sandbox == NONE:
        return judge(Tried(), config.sandbox)
    place = patient.scratch / "sandbox"
    return judge(await in_thread(lambda: look(config, place)), config.sandbox)


def look(config: AgentConfig, place: Path, proc: Path = Path("/proc")) -> Tried:
    """Try it with a real process, in a directory of our own."""
    place.mkdir(mode=0o700, exist_ok=True)
    context = SandboxContext(work_dir=place, user=config.sandbox_user)
    try:
        isolation = bubblewrap(context) if config.sandbox == AUTO else choose(config.sandbox, context)
    except NoIsolation as error:
        return Tried(why=str(error), forbidden=forbidden(proc))
    return Tried(level=isolation.level)


def forbidden(proc: Path) -> tuple[str, ...]:
    """Cures for what the kernel forbids; empty if it does not."""
    found = []
    for name, value, cure in FORBIDDING:
        try:
            if (proc / name).read_text().strip() == value:
                found.append(cure)
        except OSError:
            continue
    return tuple(found)


def judge(tried: Tried, wish: str) -> list[Finding]:
    """`wish`: what AGENT_SANDBOX says."""
    if wish == NONE:
        return [
            warning(
                "AGENT_SANDBOX is none: payloads see all that the agent's user sees",
                expected="auto or bubblewrap",
                cure="remove AGENT_SANDBOX",
            )
        ]
    if tried.level:
        return ok(tried.level)
    cure = (
        "; ".join(tried.forbidden)
        or "install bubblewrap; in a container, allow user namespaces (docs/sandbox.md)"
    )
    kind = warning if wish == AUTO else fault
    consequence = "payloads run without one" if wish == AUTO else "the agent does not start"
    return [kind(f"no sandbox works here, and {consequence}: {tried.why}", expected="bubblewrap", cure=cure)]


CHECK = Check(name="sandbox", about="payloads can be kept apart", run=run, limit=LIMIT)
