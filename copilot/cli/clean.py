"""`copilot clean`: removes old records with their inputs, and what attempts left behind."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal

from copilot.cli.known import known_keys
from copilot.cli.options import AsJson, ConfigOption
from copilot.cli.queue import open_store
from copilot.clock import SystemClock
from copilot.config import load
from copilot.config.kinds import RETENTION
from copilot.errors import ConfigError
from copilot.files.area import FileArea
from copilot.jobmanager.config import CleanConfig
from copilot.runtime.signals import on_stop
from copilot.storagemanager.cleaning import Cleaner, Gone, Kind

INTERRUPTED = 130


def clean(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show what would go; change nothing.")
    ] = False,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Since when jobs have to be over. (default: JM_KEEP_JOBS, 30d)"),
    ] = None,
    outputs: Annotated[
        bool, typer.Option("--outputs", help="Remove their outputs in JM_DONE_JOB_DIR, too.")
    ] = False,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Remove records and inputs of jobs that are long over, and what attempts left in the file area.

    Jobs that wait, are held or run keep all they need. Outputs stay unless --outputs is given.
    """
    settings, warnings = load(CleanConfig, config, os.environ, known=known_keys)
    for warning in warnings:
        print(f"copilot: warning: {warning}", file=sys.stderr)
    keep = settings.keep_jobs if older_than is None else _time(older_than)
    report = _Report(dry=dry_run, as_json=as_json, kept=None if outputs else settings.done_job_dir)
    raise typer.Exit(asyncio.run(_run(settings, keep, report, outputs=outputs)))


class _Report:
    """Tells what goes as it goes, and the sum at the end. `kept`: where outputs stay."""

    def __init__(self, *, dry: bool, as_json: bool, kept: Path | None) -> None:
        self.dry = dry
        self._as_json = as_json
        self._kept = kept
        self._gone: list[Gone] = []

    @property
    def failed(self) -> bool:
        return any(one.error for one in self._gone)

    def add(self, gone: Gone) -> None:
        self._gone.append(gone)
        if gone.error:
            print(f"copilot: {gone.error}", file=sys.stderr)
        elif not self._as_json:
            print(f"{self._verb} {_line(gone)}")

    def end(self) -> None:
        good = [one for one in self._gone if not one.error]
        size = sum(one.size for one in good)
        if self._as_json:
            things = [
                asdict(one) | {"path": None if one.path is None else str(one.path)} for one in self._gone
            ]
            print(json.dumps({"dry_run": self.dry, "bytes": size, "things": things}))
            return
        records = sum(one.kind is Kind.RECORD for one in good)
        stay = "" if self._kept is None else f"; outputs in {self._kept} stay (see --outputs)"
        counted = f"{_number(records, 'job')}, {_number(len(good) - records, 'directory', 'directories')}"
        print(f"{self._verb} in all: {counted}, {decimal(size)}{stay}")

    @property
    def _verb(self) -> str:
        return "would remove" if self.dry else "removed"


async def _run(config: CleanConfig, keep: float, report: _Report, *, outputs: bool) -> int:
    store, stop = open_store(config), asyncio.Event()
    cleaner = Cleaner(store, _area(config), _done(config) if outputs else None, dry=report.dry)
    try:
        with on_stop(stop.set):  # between two steps, so that no job loses its record alone
            async with aclosing(cleaner.clean(SystemClock().wall(), keep)) as steps:
                async for step in steps:
                    for gone in step:
                        report.add(gone)
                    if stop.is_set():
                        print("copilot: interrupted; what is left goes next time", file=sys.stderr)
                        return INTERRUPTED
    finally:
        report.end()
        await store.close()
    return 1 if report.failed else 0


def _number(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def _line(gone: Gone) -> str:
    if gone.path is None:
        return f"job {gone.job}: {gone.why}"
    return f"{gone.path}, {decimal(gone.size)}: {gone.why}"


def _time(text: str) -> float:
    try:
        return RETENTION.convert(text)
    except ValueError:
        raise ConfigError(f"--older-than {text[:80]!r}: expected {RETENTION.expects}") from None


def _area(config: CleanConfig) -> FileArea:
    assert config.files_dir is not None  # CleanConfig.check
    return FileArea(_directory(config.files_dir, config.key("files_dir")))


def _done(config: CleanConfig) -> Path:
    if config.done_job_dir is None:
        raise ConfigError(f"--outputs: where are they? Set {config.key('done_job_dir')}")
    return _directory(config.done_job_dir, config.key("done_job_dir"))


def _directory(path: Path, key: str) -> Path:
    if not path.is_dir():
        raise ConfigError(
            f"{key}: {path}: expected a directory; clean up on a machine that has the files of jobs"
        )
    return path
