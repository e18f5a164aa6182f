"""Regular expressions that are compiled when they are first used: a program has a hundred of them, and a short command uses five.

To compile one takes 0.1 ms or more (decision 24).
"""

from __future__ import annotations

import re
from typing import Any, cast


def pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """As `re.compile`, to call the methods of. The functions of `re` do not take it."""
    return cast("re.Pattern[str]", _Pattern(text, flags))


class _Pattern:
    """Has the methods of the compiled one from the first use on."""

    def __init__(self, text: str, flags: int) -> None:
        self._text = text
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what `copy` and others look for
            raise AttributeError(name)
        found = getattr(re.compile(self._text, self._flags), name)
        setattr(self, name, found)  # so that it is found without us from now on
        return found

    def __repr__(self) -> str:
        return f"pattern({self._text!r})"
