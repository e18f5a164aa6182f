"""`copilot doctor`: finds the usual faults of a set-up and names the cure."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from copilot.cli.components import COMPONENTS, KNOWN_KEYS
from copilot.cli.config import ConfigOption
from copilot.cli.queue import open_store
from copilot.clock import SystemClock
from copilot.config import COMMON_FILE, Settings, locate, resolve
from copilot.config.source import Source, read_source, sets_anything
from copilot.doctor.check import Check, check_up
from copilot.doctor.findings import Finding, Result, Verdict
from copilot.doctor.patient import Patient, Read
from copilot.errors import ConfigError

FAULTS = 1  # exit code


def doctor(
    checks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CHECK...", help="Make these alone: names, or beginnings such as `redis` (default: all)."
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="Say which checks there are, and make none.")
    ] = False,
    files_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where the file server is; an agent's settings do not say it."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show what goes wrong in a check itself.")] = False,
) -> None:
    """Look for the usual faults of a set-up, and name the cure.

    Reads the settings that are on this machine: managers', agents', monitor's, submitters'. Changes nothing. The exit code is 0
    if all is well or there are only warnings, and 1 if there are faults.
    """
    from copilot.doctor.table import (
        CHECKS,
        chosen,
    )  # with all that can be looked at; other commands need none of it

    wanted = chosen(checks or ())
    if listed:
        for check in CHECKS:
            print(f"{check.name:<18} {check.about}")
        return
    place = locate(config, os.environ)
    with tempfile.TemporaryDirectory(prefix="copilot-doctor-", ignore_cleanup_errors=True) as scratch:
        patient = Patient(
            read=settings(place, config),
            place=place,
            clock=SystemClock(),
            scratch=Path(scratch),
            open_store=open_store,
            files_url=files_url,
            raises=debug,
        )
        results = asyncio.run(examine(wanted, patient, as_json=as_json))
    if any(result.verdict is Verdict.FAULT for result in results):
        raise typer.Exit(FAULTS)


async def examine(checks: Sequence[Check], patient: Patient, *, as_json: bool = False) -> list[Result]:
    """Make the checks, and show what they find as it comes."""
    results = []
    async for result in check_up(checks, patient):
        results.append(result)
        if not as_json:
            print("\n".join(shown(result)), flush=True)
    counted = {verdict: sum(one.verdict is verdict for one in results) for verdict in Verdict}
    if as_json:
        print(
            json.dumps(
                {"checks": [as_object(one) for one in results], **{str(k): v for k, v in counted.items()}},
                indent=2,
            )
        )
    else:
        parts = ("ok", "ok"), ("warning", "warnings"), ("fault", "faults"), ("skipped", "skipped")
        print(", ".join(f"{counted[Verdict(word)]} {text}" for word, text in parts))
    return results


def shown(result: Result) -> list[str]:
    """The lines for one check."""
    lines = []
    for finding in result.findings:
        lines.append(f"{finding.verdict:<8} {result.check:<18} {finding.seen}")
        lines += [f"{'':<9}{word}: {text}" for word, text in _more(finding)]
    return lines


def _more(finding: Finding) -> list[tuple[str, str]]:
    return [(word, text) for word, text in (("expected", finding.expected), ("cure", finding.cure)) if text]


def as_object(result: Result) -> dict[str, object]:
    """For programs."""
    return {
        "check": result.check,
        "verdict": result.verdict,
        "seconds": round(result.seconds, 3),
        "findings": [asdict(finding) for finding in result.findings],
    }


def settings(place: Path, config: Path | None) -> dict[str, Read]:
    """Those of all programs that are set up at this place."""
    return {cls.program.name: _read(cls, config) for cls in COMPONENTS if _is_set_up(cls, place)}


def _read(cls: type[Settings], config: Path | None) -> Read:
    try:
        loaded = resolve(cls, config, os.environ, known=lambda: KNOWN_KEYS)
    except ConfigError as error:
        lines = str(error).split("\n")
        return Read(
            kind=cls,
            config=None,
            faults=tuple(line for line in lines if not line.startswith("warning: ")),
            warnings=tuple(line.removeprefix("warning: ") for line in lines if line.startswith("warning: ")),
        )
    return Read(kind=cls, config=loaded.config, warnings=loaded.warnings)


def _is_set_up(cls: type[Settings], place: Path) -> bool:
    """By a file of its own with any key in it, or one without where `Copilot.conf` has keys for it."""
    prefix = f"{cls.program.prefixes[0]}_"
    if place.is_dir():
        own = place / cls.program.files[0]
        return sets_anything(_source(own)) or (own.exists() and _has(_source(place / COMMON_FILE), prefix))
    source = _source(place)
    if place.name in {one.program.files[0] for one in COMPONENTS}:
        return place.name == cls.program.files[0]
    return _has(source, f"{prefix}JABBER_ID")  # one that was named otherwise


def _source(path: Path) -> Source | None:
    try:
        return read_source(path)
    except ConfigError as error:
        print(f"copilot: {error}", file=sys.stderr)
        return None


def _has(source: Source | None, prefix: str) -> bool:
    return source is not None and any(key.startswith(prefix) for key in source.entries)
