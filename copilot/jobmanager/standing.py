"""How the queue fares and what this manager has done since its start, for whoever asks."""

from __future__ import annotations

from collections.abc import Mapping

from copilot.job import State
from copilot.runtime.counts import JobCounts


def fields(counts: JobCounts, states: Mapping[str, int], *, store_up: bool) -> Mapping[str, str]:
    """For `ComponentStatus`. `states`: how many jobs are in each; none of that is known while the store is away."""
    queue = {f"queue-{state}": str(states.get(state.value, 0)) for state in State}
    return {
        "store": "up" if store_up else "away",
        **(queue if store_up else {}),
        "claims": str(counts.claims),
        "leases-granted": str(counts.leases_granted),
        "leases-renewed": str(counts.leases_renewed),
        "leases-revived": str(counts.leases_revived),
        "leases-ran-out": str(counts.leases_ran_out),
        "attempts-ended": str(counts.attempts_ended.total()),
        "requeues": str(counts.requeues.total()),
        "reports-fenced": str(counts.reports_fenced.total()),
        "quarantines": str(counts.quarantines),
    }
