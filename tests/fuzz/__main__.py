"""`make fuzz`: each target for so many seconds, from the corpus that is kept. docs/attack.md tells more.

python -m tests.fuzz [--seconds 60] [--keep] [TARGET …]
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from bench import virtual
from tests.fuzz.corpus import CORPUS, TARGETS

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements" / "fuzz.lock"
FOUND = ROOT / "build" / "fuzz"
MEMORY_MB = 2048
SLOWEST_S = 20  # for one input
LARGEST_KEPT = 4096  # bytes of an input that is worth a place in the tree


def main() -> int:
    """The exit code: 0 if no target found anything."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--keep", action="store_true", help="put what reaches new code into the kept corpus")
    parser.add_argument(
        "targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET", help=", ".join(TARGETS)
    )
    options = parser.parse_args()
    python = virtual.make(LOCK, virtual.in_cache(LOCK))
    packages = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    environment = {**os.environ, "PYTHONPATH": f"{packages}:{ROOT}"}
    bad = [name for name in options.targets or TARGETS if not _fuzz(name, options, environment)]
    if bad:
        sys.stdout.write(f"found something: {', '.join(bad)}; the inputs are in {FOUND}\n")
    return 1 if bad else 0


def _fuzz(name: str, options: argparse.Namespace, environment: dict[str, str]) -> bool:
    grown = FOUND / "corpus" / name
    grown.mkdir(parents=True, exist_ok=True)
    (CORPUS / name).mkdir(exist_ok=True)
    argv = [sys.executable, "-m", "tests.fuzz.one", name, f"-artifact_prefix={FOUND}/{name}-"]
    argv += [f"-rss_limit_mb={MEMORY_MB}", f"-timeout={SLOWEST_S}"]
    done = subprocess.run(
        [*argv, f"-max_total_time={options.seconds}", "-print_final_stats=1", grown, CORPUS / name],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    said = done.stderr + done.stdout
    runs = re.search(r"number_of_executed_units: (\d+)", said)
    covered = re.findall(r"ft: (\d+) corp: (\d+)", said)
    ended = "well" if done.returncode == 0 else f"with {done.returncode}"
    sys.stdout.write(
        f"{name:14}{runs[1] if runs else '?':>10} inputs, features and corpus "
        f"{' '.join(covered[-1]) if covered else '?'}, ended {ended}\n"
    )
    sys.stdout.flush()
    if done.returncode:
        sys.stdout.write(said[-3000:])
    elif options.keep:
        subprocess.run(
            [*argv, "-merge=1", CORPUS / name, grown],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
        for path in (CORPUS / name).iterdir():
            if path.stat().st_size > LARGEST_KEPT:
                path.unlink()
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
