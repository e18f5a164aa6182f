"""The part of a daemon that reports to the monitor, where its configuration names one (report, section 2.2.5)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from copilot.runtime.component import Component
from copilot.runtime.readings import queue_values, system_values
from copilot.runtime.reports import Happened, Reporter

if TYPE_CHECKING:  # an agent has no queue
    from copilot.store.base import Store


def reporters(
    monitor: str | None, kind: str, happened: Happened, *, store: Store | None = None, group: bool = False
) -> list[Component]:
    """It reports as `kind`, such as `jobmanager.generic`, to the monitor of this bare JID; there is none where that is None.
    With a `store` it tells the length of the queue; `group` as in `Reporter`."""
    if monitor is None:
        return []
    values = [system_values(), *([] if store is None else [queue_values(store)])]
    return [Reporter(monitor, kind, happened, values, group=group, random=random.random)]
