"""disk: are the directories of the programs there, writable, not for everybody, and is there room?"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from copilot.agent.config import AgentConfig
from copilot.config.groups import FileServerSettings, StagingSettings
from copilot.doctor.check import Check, in_thread
from copilot.doctor.findings import Finding, fault, ok, skipped, warning
from copilot.doctor.patient import Patient
from copilot.records import dataclass

SHORT, LOW = 100 * 1024**2, 2 * 1024**3  # bytes
FEW, SOME = 1_000, 50_000  # inodes
MEBIBYTE = 1024**2
TIDIES_RESULTS = "copilot clean --outputs removes old results"
TIDIES_JOBS = "the agent removes what its jobs leave, so look at what else is on that disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A directory that a program needs, or the nearest one above it that is there. `inodes` None: the file system has no number
    of them. `noexec`: no program in it can be started."""

    path: Path
    what: str
    there: bool
    writable: bool
    mode: int
    free: int
    inodes: int | None
    noexec: bool
    runs: bool = False  # programs are started in it


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    named = list(_named(patient))
    if not named:
        return skipped("no settings here name a directory")
    return judge(await in_thread(lambda: [look(*one) for one in named]))


def _named(patient: Patient) -> Iterator[tuple[Path, str, bool]]:
    seen: set[Path] = set()
    for config in (one.config for one in patient.read.values()):
        wanted: list[tuple[Path | None, str, bool]] = []
        if isinstance(config, StagingSettings):
            wanted += [
                (config.files_dir, "the file area", False),
                (config.done_job_dir, "results of done jobs", False),
            ]
        if isinstance(config, FileServerSettings):
            wanted.append((config.state_dir, "the state directory", False))
        if isinstance(config, AgentConfig):
            wanted.append((config.work_dir, "the work directory of the agent", True))
        for path, what, runs in wanted:
            if path is not None and path not in seen:
                seen.add(path)
                yield path, what, runs


def look(path: Path, what: str, runs: bool = False) -> Place:
    """Raises OSError."""
    nearest = path
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    system = os.statvfs(nearest)
    return Place(
        path=path,
        what=what,
        there=nearest == path,
        writable=os.access(nearest, os.W_OK | os.X_OK),
        mode=stat.S_IMODE(nearest.stat().st_mode),
        free=system.f_bavail * system.f_frsize,
        inodes=system.f_favail if system.f_files else None,
        noexec=bool(system.f_flag & os.ST_NOEXEC),
        runs=runs,
    )


def judge(places: Sequence[Place]) -> list[Finding]:
    """Each of them."""
    found = [finding for place in places for finding in _judged(place)]
    return found or ok(", ".join(f"{place.path} ({place.free // MEBIBYTE} MB free)" for place in places))


def _judged(place: Place) -> Iterator[Finding]:
    name = f"{place.path} ({place.what})"
    if not place.writable:
        yield fault(
            f"{name} cannot be written by this user"
            if place.there
            else f"{name} is not there, and cannot be made",
            expected="a directory that the user of the program can write to",
            cure=f"mkdir -p {place.path} && chown USER {place.path}, with the user of the program; or run the doctor as that user",
        )
    if place.there and place.mode & stat.S_IWOTH:
        yield fault(
            f"{name} can be written by everybody (mode {place.mode:04o})",
            expected="mode 0700",
            cure=f"chmod 700 {place.path}",
        )
    if place.runs and place.noexec:
        yield fault(
            f"{name} is on a file system without programs (noexec): no job can run",
            expected="one that is mounted with exec",
            cure="mount -o remount,exec that file system, or another AGENT_WORK_DIR",
        )
    cure = f"make room: {TIDIES_JOBS if place.runs else TIDIES_RESULTS}; or take a larger disk"
    yield from _room(
        name, place.free, SHORT, LOW, f"{place.free // MEBIBYTE} MB are free", f"{LOW // MEBIBYTE} MB", cure
    )
    if place.inodes is not None:
        yield from _room(
            name, place.inodes, FEW, SOME, f"{place.inodes} more files find room (inodes)", f"{SOME}", cure
        )


def _room(
    name: str, have: int, short: int, low: int, seen: str, expected: str, cure: str
) -> Iterator[Finding]:
    if have < low:
        kind = fault if have < short else warning
        yield kind(
            f"{name}: {seen}",
            expected=f"more than {expected}",
            cure=cure,
        )


CHECK = Check(name="disk", about="directories are there, writable, private, and have room", run=run)
