"""All keys of all programs, for those who found one that is none of theirs."""

from __future__ import annotations

from collections.abc import Collection


def known_keys() -> Collection[str]:
    """Asked for only where a key stands that is none of ours: it loads the settings of all programs, 1 MB and 0.1 s."""
    from copilot.cli.components import KNOWN_KEYS

    return KNOWN_KEYS
