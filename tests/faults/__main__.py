"""`make faults`: a campaign of real faults on real servers, and one table at its end (docs/faults.md)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from copilot.local import provision
from tests.faults import disks
from tests.faults.campaign import Campaign
from tests.faults.ground import ground
from tests.faults.looking import look
from tests.faults.plan import Plan
from tests.faults.result import Result
from tests.faults.table import table


def main() -> int:
    """The exit code: 0 if nothing is wrong."""
    options = _options()
    if options.short:
        vars(options).update(jobs=300, faults=30, agents=8, spacing=1.2)
    plan = Plan(
        seed=options.seed if options.seed is not None else secrets.randbelow(10**6),
        server=options.server,
        jobs=options.jobs,
        faults=options.faults,
        agents=options.agents,
        managers=3,
        spacing=options.spacing,
    )
    say(f"seed {plan.seed}")
    provision.ensure(plan.server, "redis-server", "chirp_server")
    small_disks = disks.possible()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="copilot-faults-"))
    try:
        result = asyncio.run(_run(plan, directory, small_disks=small_disks))
    finally:
        disks.unmount_all()
    for line in table(result):
        say(line)
    if result.good:
        shutil.rmtree(directory)
    else:
        sys.stderr.write(f"Something is wrong; see the logs in {directory}/etc\n")
    return 0 if result.good else 1


async def _run(plan: Plan, directory: Path, *, small_disks: bool) -> Result:
    async with ground(plan, directory, small_disks=small_disks) as made:
        say("all programs are ready")
        campaign = Campaign(plan, made, say)
        await campaign.run()
        await look(campaign, made)
    return campaign.result


def say(line: str) -> None:
    """To who watches, at once."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeat the campaign of this seed")
    parser.add_argument("--server", choices=("prosody", "ejabberd"), default="prosody")
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--agents", type=int, default=20)
    parser.add_argument(
        "--spacing", type=float, default=3.0, help="seconds between two faults, on the average"
    )
    parser.add_argument("--short", action="store_true", help="300 jobs, 30 faults, 8 agents")
    parser.add_argument("--directory", type=Path, help="where everything lies; removed if nothing is wrong")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
