"""The table of a campaign, and its last line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.attack.plan import Phase, Result

MB = 1024 * 1024
MOST_LINES = 20  # of what is wrong
PROGRAMS = ("prosody", "jobmanager", "storagemanager", "attacker")  # whose share of a core is shown


def table(result: Result) -> Iterator[str]:
    """Its lines."""
    plan = result.plan
    yield f"seed {plan.seed}, {result.honest} honest jobs, {result.seconds:.0f} s"
    yield ""
    yield (
        f"{'attack':30}{'tried':>9}{'a second':>10}{'reach jm':>9}   {'% of a core: server jm sm attacker':36}"
        f"{'start, ms: p50':>15}{'p99':>7}{'cycle, ms: p50':>16}{'p99':>7}"
    )
    for phase in result.phases:
        yield _line(phase)
    yield ""
    yield "what became of it"
    for phase in result.phases:
        if phase.tried.count:
            yield f"  {phase.name:30}{_counts(phase.refused, 'not counted by our programs')}"
            if phase.tried.answers:
                yield f"  {'':30}attacker: {_counts(phase.tried.answers, '')}"
    yield ""
    yield f"{'program':18}{'MB before':>10}{'after':>8}{'lines of log':>14}"
    for name in sorted(result.after):
        lines = result.log_lines.get(name, "")
        yield f"{name:18}{result.before.get(name, 0) / MB:10.0f}{result.after[name] / MB:8.0f}{lines:>14}"
    wrong = [*(text for phase in result.phases for text in phase.tried.wrong), *result.wrong]
    yield from (f"wrong: {text}" for text in wrong[:MOST_LINES])
    yield f"attacks {sum(phase.tried.count > 0 for phase in result.phases)} tried {sum(phase.tried.count for phase in result.phases)} wrong {len(wrong)}"


def _line(phase: Phase) -> str:
    tried = phase.tried.count
    rate = f"{tried / phase.seconds:.0f}" if tried else ""
    busy = " ".join(f"{100 * phase.busy.get(name, 0):4.0f}" for name in PROGRAMS)
    return (
        f"{phase.name:30}{tried or '':>9}{rate:>10}{phase.reached:>9.0f}   {busy:36}{quantile(phase.starts, 0.5):>15}"
        f"{quantile(phase.starts, 0.99):>7}{quantile(phase.cycles, 0.5):>16}{quantile(phase.cycles, 0.99):>7}"
    )


def quantile(times: Sequence[float], share: float) -> str:
    """In ms; of few the largest."""
    if not times:
        return "-"
    ordered = sorted(times)
    return f"{1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]:.0f}"


def _counts(counts: Counter[str], none: str) -> str:
    return ", ".join(f"{number} {what}" for what, number in counts.most_common()) or none
