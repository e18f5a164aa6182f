"""The format of the queue in Redis: what versions that share one must have in common (decision 25).

1: versions 0.1 and before, which wrote no number. 2: arrays, dependencies, packing, shares.
"""

from __future__ import annotations

from copilot.errors import ConfigError

FORMAT = 2


def check_format(found: int, by: str, *, version: str) -> None:
    """Raise `ConfigError` for a queue that `version` must not touch: the format that was found is newer, made by version `by`."""
    if found > FORMAT:
        raise ConfigError(
            f"the queue is of a newer version: format {found}, by Co-Pilot {by}; this is Co-Pilot {version}, which knows "
            f"formats up to {FORMAT}: start managers of version {by} or later. Nothing was changed"
        )
