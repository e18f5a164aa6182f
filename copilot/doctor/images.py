"""images: is there a tool for container images, if jobs are to bring some?"""

from __future__ import annotations

from pathlib import Path

from copilot.agent.config import AgentConfig
from copilot.agent.isolation.base import NoIsolation, ToolWish
from copilot.agent.isolation.choosing import SandboxContext
from copilot.agent.isolation.images import ImageRules, choose_images
from copilot.doctor.check import Check, in_thread
from copilot.doctor.findings import Finding, fault, ok, skipped
from copilot.doctor.patient import Patient

LIMIT = 12.0  # s: podman's first start takes some


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    config = patient.agent
    if config is None:
        return skipped("no agent is set up here")
    if config.images is ToolWish.NONE:
        return ok("AGENT_IMAGES is none: jobs with an image go elsewhere")
    place = patient.scratch / "images"
    return judge(*await in_thread(lambda: look(config, place)), config.images)


def look(config: AgentConfig, place: Path) -> tuple[str, str]:
    """Which kinds of images work, or none and why."""
    place.mkdir(mode=0o700, exist_ok=True)
    rules = ImageRules(
        directory=config.image_dir,
        registries=config.image_registries,
        pull=config.image_pull,
        limit=config.image_pull_limit,
    )
    try:
        found = choose_images(config.images, SandboxContext(work_dir=place, user=config.sandbox_user), rules)
    except NoIsolation as error:
        return "", str(error)
    return ("", "neither apptainer nor podman works here") if found is None else (" ".join(found.kinds), "")


def judge(kinds: str, why: str, wish: ToolWish) -> list[Finding]:
    """`wish`: what AGENT_IMAGES says. Most agents need none, so with `auto` it is no fault that there is none."""
    if kinds:
        return ok(kinds)
    if wish is ToolWish.AUTO:
        return ok(f"{why}: jobs with an image go elsewhere")
    return [
        fault(
            f"the agent does not start: {why}",
            expected=f"{wish}",
            cure=f"install {wish}, or set AGENT_IMAGES auto",
        )
    ]


CHECK = Check(
    name="images", about="the tool for container images works, if one is named", run=run, limit=LIMIT
)
