"""The benchmark: all parts one after the other, one table, one result file, one plot.

    python -m bench.run [--full] [part …]

The short form of all takes about a quarter of an hour, the full one has at least five rounds of everything. Results
go to `bench/results/`: one file a run, and `latest.json` and `latest.svg` when no part was left out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import chart, machine
from bench.goals import judged
from bench.row import Row, row_from_json
from bench.table import table

HERE = Path(__file__).parent
ROOT, RESULTS = HERE.parent, HERE / "results"
LIMIT_S = 3600.0  # for one part
GRACE_S = 60.0  # a part stops its servers and its peers


@dataclass(frozen=True, kw_only=True)
class Part:
    """One module with a command of its own, which prints one JSON object with `rows`; how to have its two forms."""

    name: str
    module: str
    short: tuple[str, ...] = ("--short",)
    full: tuple[str, ...] = ()


PARTS = (
    *(Part(name=name, module=name) for name in ("jobs", "agent", "files")),
    Part(
        name="broker",
        module="broker",
        short=("--managers", "1", "2", "3", "--rounds", "3", "--jobs", "1000"),
        full=("--managers", "1", "2", "3"),
    ),
    Part(name="queue", module="long_queue", short=("--rounds", "2", "--claims", "300")),
    Part(name="board", module="board", short=("--jobs", "100000", "--seconds", "10")),
    Part(name="fleet", module="fleet", short=("--agents", "2000", "--window", "20", "--held", "60")),
)


def rows_of(part: Part, options: Sequence[str]) -> list[Row]:
    """What a part measured, with its goals. One that fails is told of in the rows that are missing then."""
    if not (HERE / f"{part.module}.py").exists():
        return judged(part.name, [], "this part of the benchmark is not written yet")
    try:
        rows = [row_from_json(row) for row in _told(part, options)["rows"]]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        return judged(part.name, [], f"bench.{part.module} failed: {error}")
    return judged(part.name, rows, f"bench.{part.module} did not tell it")


def _told(part: Part, options: Sequence[str]) -> dict[str, Any]:
    """The object that a part prints; its errors are seen as they come."""
    argv = [sys.executable, "-m", f"bench.{part.module}", *options]
    process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        said, _ = process.communicate(timeout=LIMIT_S)
    finally:
        _stop(process)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, f"bench.{part.module}")
    found: dict[str, Any] = json.loads(said)
    return found


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
        process.kill()
        process.wait()


def write(rows: Sequence[Row], *, form: str, whole: bool) -> Path:
    """The result file of this run."""
    began = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())
    found = {
        "time": began,
        "form": form,
        "machine": machine.facts(),
        "rows": [row.to_json() for row in rows],
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{began}.json"
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    if whole:
        (RESULTS / "latest.json").write_text(path.read_text())
    return path


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=f"default: {' '.join(p.name for p in PARTS)}"
    )
    parser.add_argument("--full", action="store_true", help="at least five rounds of everything; an hour")
    options = parser.parse_args()
    if unknown := set(options.parts) - {part.name for part in PARTS}:
        parser.error(
            f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(p.name for p in PARTS)}"
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what runs is stopped first
    rows: list[Row] = []
    for part in PARTS:
        if not options.parts or part.name in options.parts:
            print(f"bench.{part.module} …", file=sys.stderr, flush=True)
            rows += rows_of(part, part.full if options.full else part.short)
    whole = not options.parts
    path = write(rows, form="full" if options.full else "short", whole=whole)
    print(f"Written to {path.relative_to(ROOT)}", file=sys.stderr)
    if whole:
        print(chart.draw(path, RESULTS / "latest.svg"), file=sys.stderr)
    print(table(rows))


if __name__ == "__main__":
    main()
