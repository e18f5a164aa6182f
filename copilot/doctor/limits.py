"""limits: can the kernel hold payloads to their limits?"""

from __future__ import annotations

from copilot.agent.limits.base import NoLimits
from copilot.agent.limits.cgroup import find_tree
from copilot.agent.limits.keeping import LimitsWish
from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, fault, ok, skipped, warning
from copilot.doctor.patient import Patient


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    config = patient.agent
    if config is None:
        return skipped("no agent is set up here")
    if config.limits is LimitsWish.WATCH:
        return ok("AGENT_LIMITS is watch: processes are looked at")
    return judge(*look(), config.limits)


def look() -> tuple[str, str]:
    """The kind of control groups that works here, or none and why."""
    try:
        tree = find_tree()
    except NoLimits as error:
        return "", str(error)
    tree.close()
    return tree.level, ""


def judge(level: str, why: str, wish: LimitsWish) -> list[Finding]:
    """`wish`: what AGENT_LIMITS says."""
    if level:
        return ok(level)
    kind = fault if wish is LimitsWish.CGROUP else warning
    consequence = (
        "the agent does not start" if wish is LimitsWish.CGROUP else "limits are kept by looking at processes"
    )
    return [
        kind(
            f"control groups do not work here, and {consequence}: {why}",
            expected="a control group that is delegated to the agent",
            cure="start the agent as a systemd service with Delegate=yes; or set AGENT_LIMITS watch",
        )
    ]


CHECK = Check(name="limits", about="the kernel can hold payloads to their limits", run=run)
