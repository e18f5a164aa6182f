"""installed: are Python and the libraries of this installation those that the package wants?"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata

from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, fault, ok
from copilot.doctor.patient import Patient

PACKAGE = "copilot-broker"
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*([^;]*)(;.*)?")
_BOUND = re.compile(r"(>=|<=|==|!=|<|>|~=)\s*([0-9][0-9.]*)")
PYTHON = (3, 11)


async def run(_: Patient) -> list[Finding]:
    """Look and judge."""
    wanted = metadata.requires(PACKAGE) or []
    return judge(tuple(sys.version_info[:2]), wanted, look(wanted))


def look(wanted: Sequence[str]) -> dict[str, str]:
    """Versions of the libraries that are there, by name."""
    found = {}
    for name, _ in _parsed(wanted):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def judge(python: tuple[int, ...], wanted: Sequence[str], found: Mapping[str, str]) -> list[Finding]:
    """`wanted` as the package's metadata have it; requirements of extras do not count."""
    findings = []
    if python < PYTHON:
        findings.append(
            fault(
                f"Python {'.'.join(map(str, python))}",
                expected="3.11 or later",
                cure="make a new environment with a newer Python",
            )
        )
    for name, bounds in _parsed(wanted):
        version = found.get(name)
        if version is None:
            seen = f"{name} is not installed"
        elif all(_holds(version, sign, bound) for sign, bound in bounds):
            continue
        else:
            seen = f"{name} {version}"
        expected = ",".join(f"{sign}{bound}" for sign, bound in bounds)
        findings.append(
            fault(
                seen,
                expected=f"{name} {expected}",
                cure=f"{sys.executable} -m pip install '{name}{expected}'",
            )
        )
    return findings or ok(
        f"Python {'.'.join(map(str, python))}, slixmpp {found.get('slixmpp')}, redis {found.get('redis')}"
    )


def _parsed(wanted: Sequence[str]) -> list[tuple[str, list[tuple[str, str]]]]:
    parsed = []
    for text in wanted:
        match = _REQUIREMENT.fullmatch(text)
        if match is not None and "extra" not in (match[3] or ""):
            parsed.append((match[1], _BOUND.findall(match[2])))
    return parsed


def _holds(version: str, sign: str, bound: str) -> bool:
    have, limit = _numbers(version), _numbers(bound)
    have += (0,) * (len(limit) - len(have))
    limit += (0,) * (len(have) - len(limit))
    signs = {">=": have >= limit, "<=": have <= limit, "<": have < limit, ">": have > limit}
    return signs.get(sign, have == limit if sign == "==" else True)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:4])


CHECK = Check(name="installed", about="Python and libraries are those that the package wants", run=run)
