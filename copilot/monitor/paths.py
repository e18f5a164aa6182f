"""Names of metrics, made safe: `copilot.<component>.<event>`, and how many of them there may be.

Whisper makes a file of each path, and a directory of each part of it but the last. What stands in a report comes from the
wire, so here is decided what it may become.
"""

from __future__ import annotations

import re
from collections import Counter

ROOT = "copilot"
MOST_PARTS = 24  # directories below each other
MOST_PART = 100  # characters; a file name has at most 255, and Whisper adds `.wsp`
MOST_LENGTH = 300  # characters of a whole path
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


def safe_name(name: str) -> str:
    """The name of a component or of an event as it stands in paths: parts of letters, digits, `_` and `-` with dots between
    them. Any other character becomes `_`, and empty parts are left out.

    Raises `ValueError`, which says what is wrong: nothing is left of it, or a part is too long.
    """
    parts = [_UNSAFE.sub("_", part) for part in name[: MOST_LENGTH + 1].split(".") if part]
    if not parts:
        raise ValueError(f"the name {name[:60]!r}: expected words with dots between them, like job.succeeded")
    if any(len(part) > MOST_PART for part in parts):
        raise ValueError(f"the name {name[:60]!r}: expected words of at most {MOST_PART} characters")
    return ".".join(parts)


def metric_path(component: str, event: str) -> str:
    """`copilot.<component>.<event>`, of safe names. Raises `ValueError` if it is too long or too deep."""
    path = f"{ROOT}.{component}.{event}"
    if len(path) > MOST_LENGTH or path.count(".") >= MOST_PARTS:
        raise ValueError(
            f"the metric {path[:60]}… has {len(path)} characters and {path.count('.') + 1} parts; expected at most "
            f"{MOST_LENGTH} and {MOST_PARTS}"
        )
    return path


class KnownPaths:
    """The paths that have been forwarded since the start: at most `most`, and of one account at most a tenth of them."""

    SHARE = 10

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()
        self._of: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._known)

    def admit(self, paths: tuple[str, ...], account: str) -> bool:
        """Whether these may all be forwarded for `account`; new ones are counted as its own, for good."""
        new = [path for path in paths if path not in self._known]
        if not new:
            return True
        if (
            len(self._known) + len(new) > self._most
            or self._of[account] + len(new) > self._most // self.SHARE
        ):
            return False
        self._known.update(new)
        self._of[account] += len(new)
        return True
