"""Environment variables of a job as the shell text that a job's description holds."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from copilot.errors import BadName

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def shell_environment(variables: Mapping[str, str]) -> str:
    """Shell text that sets the variables. Raises `BadName` for a name or value that no environment takes."""
    for name, value in variables.items():
        if not _VARIABLE.match(name):
            raise BadName(
                f"environment variable {name[:140]!r}: expected letters, digits and '_', no digit first"
            )
        if "\0" in value:
            raise BadName(f"environment variable {name}: its value holds a NUL character; leave that out")
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
