"""What a check finds."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from copilot.records import dataclass


class Verdict(enum.StrEnum):
    """How well it is."""

    OK = "ok"
    WARNING = "warning"  # it works, and may not for ever, or not as fast as it could
    FAULT = "fault"  # jobs are lost, late or not run
    SKIPPED = "skipped"  # could not be looked at here; the text says why


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was seen. `expected` and `cure` are there for what is not well; the cure is a command, or a line of a
    configuration and where it stands."""

    verdict: Verdict
    seen: str
    expected: str = ""
    cure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All that one check found, after so many seconds."""

    check: str
    findings: Sequence[Finding]
    seconds: float

    @property
    def verdict(self) -> Verdict:
        """That of the worst finding."""
        found = {finding.verdict for finding in self.findings}
        order = (Verdict.FAULT, Verdict.WARNING, Verdict.OK)
        return next((one for one in order if one in found), Verdict.SKIPPED)


def ok(seen: str) -> list[Finding]:
    """All is well."""
    return [Finding(verdict=Verdict.OK, seen=seen)]


def skipped(why: str) -> list[Finding]:
    """It could not be looked at, or there is nothing to look at."""
    return [Finding(verdict=Verdict.SKIPPED, seen=why)]


def warning(seen: str, *, expected: str, cure: str) -> Finding:
    """Somebody should look at it."""
    return Finding(verdict=Verdict.WARNING, seen=seen, expected=expected, cure=cure)


def fault(seen: str, *, expected: str, cure: str) -> Finding:
    """Somebody must act."""
    return Finding(verdict=Verdict.FAULT, seen=seen, expected=expected, cure=cure)


def or_ok(findings: Sequence[Finding], seen: str) -> list[Finding]:
    """`findings`, or that all is well if there are none."""
    return list(findings) or ok(seen)
