"""`make attack`: real servers under attack from this machine, and one table at its end (docs/attack.md)."""

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
from tests.attack import campaign
from tests.attack.ground import ground, open_files
from tests.attack.plan import Plan, Result
from tests.attack.table import table


def main() -> int:
    """The exit code: 0 if nothing went through and everybody else was served."""
    options = _options()
    plan = Plan(
        seed=options.seed if options.seed is not None else secrets.randbelow(10**6),
        each=0.4 if options.short else options.seconds / 20,
        flood=1.0 if options.short else options.seconds / 4,
        calm=0.6 if options.short else options.seconds / 20,
        senders=2 if options.short else 6,
        lines=90 if options.short else 1500,
        archives=3 if options.short else 100,
    )
    say(f"seed {plan.seed}")
    provision.ensure("prosody", "redis-server")
    open_files()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="copilot-attack-"))
    result = asyncio.run(_run(plan, directory))
    for line in table(result):
        say(line)
    if result.good:
        shutil.rmtree(directory)
    else:
        sys.stderr.write(f"Something is wrong; see the logs in {directory}/system/log\n")
    return 0 if result.good else 1


async def _run(plan: Plan, directory: Path) -> Result:
    async with ground(plan, directory) as made:
        say("all programs are ready")
        return await campaign.run(plan, made, say)


def say(line: str) -> None:
    """To who watches, at once."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make attack", description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seconds", type=float, default=240.0, help="of the whole campaign, about")
    parser.add_argument("--short", action="store_true", help="about twenty seconds")
    parser.add_argument("--directory", type=Path, help="where everything lies; removed if nothing is wrong")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
