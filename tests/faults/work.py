"""Jobs whose results are known beforehand, so that whoever looks at the end can tell right from wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from copilot.client.submission import Submission
from copilot.job import State

# The answer is made of an input file, the job and the attempt. Where the disk is full it waits: what a payload makes of
# that is its own affair, and not what is tried here.
SCRIPT = """\
#!/bin/sh
seconds=$1 code=$2 manner=$3
case $manner in
deaf) trap '' TERM ;;
parent) sleep 1000 & setsid sleep 1000 & ;;
esac
sleep "$seconds"
read -r digest rest <<END
$(sha256sum seed)
END
until printf '%s %s %s\\n' "$COPILOT_JOB_ID" "$COPILOT_ATTEMPT" "$digest" 2>/dev/null; do sleep 0.1; done
exit "$code"
"""
MANNERS = ("plain", "plain", "plain", "plain", "deaf", "parent")
CODES = (0, 0, 0, 0, 0, 0, 3)
PRIORITIES = (0, 0, 0, 5)
LONGEST = 2.0  # s
MOST_ATTEMPTS = 10_000  # no fault may make a job fail


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One job: how long it sleeps, how it ends, and what it does meanwhile."""

    id: str
    seconds: float
    code: int
    manner: str
    priority: int

    @property
    def state(self) -> State:
        """What becomes of it."""
        return State.DONE if self.code == 0 else State.FAILED

    @property
    def seed(self) -> str:
        """What is in its input file."""
        return f"seed of {self.id}\n"

    def stdout(self, attempt: int) -> str:
        """What this attempt must have written."""
        return f"{self.id} {attempt} {hashlib.sha256(self.seed.encode()).hexdigest()}\n"

    def submission(self, directory: Path) -> Submission:
        """How it is submitted, with its files in `directory`."""
        command, seed = directory / "work.sh", directory / f"{self.id}.seed"
        if not command.exists():
            command.write_text(SCRIPT)
        seed.write_text(self.seed)
        return Submission(
            id=self.id,
            command=command,
            arguments=f"{self.seconds:.2f} {self.code} {self.manner}",
            inputs={"seed": seed},
            priority=self.priority,
            max_attempts=MOST_ATTEMPTS,
        )


def works(count: int, random: Random) -> Iterator[Work]:
    """That many jobs."""
    for number in range(count):
        yield Work(
            id=f"job-{number:05}",
            seconds=random.uniform(0, LONGEST),
            code=random.choice(CODES),
            manner=random.choice(MANNERS),
            priority=random.choice(PRIORITIES),
        )
