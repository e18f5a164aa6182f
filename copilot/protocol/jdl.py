"""The host's configuration as a ClassAd in JDL (report, listing 2.4), with our attributes after the report's."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from copilot.host import HostFacts

Value = int | float | bool | str | Sequence[str]

JDL_VERSION = "0"
_EVERY_JOB = '( other.Type == "Job" )'
_ATTRIBUTE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_RESERVED = frozenset({"true", "false", "undefined", "error", "is", "isnt", "parent"})


def host_jdl(facts: HostFacts, extra: Mapping[str, Value] | None = None, *, requirements: str = "") -> str:
    """The ClassAd of a host: the report's attributes in the report's order, `Cores`, then `extra` as it comes. `requirements` is what it
    asks of jobs besides (an expression that was checked); "" for nothing.

    Raises ValueError if `extra` has a name that is no attribute's or is taken, or a value that ClassAds lack.
    """
    attributes = {
        "Requirements": f"{_EVERY_JOB} && ( {requirements} )" if requirements else _EVERY_JOB,
        "Version": _string(JDL_VERSION),
        "Platform": _string(facts.platform),
        "LocalDiskSpace": str(facts.local_disk_kb),
        "WNHost": _string(facts.hostname),
        "Memory": str(facts.memory_mb),
        "Type": _string("machine"),
        "Uname": _string(facts.uname),
        "FreeMemory": str(facts.free_memory_mb),
        "Swap": str(facts.swap_mb),
        "FreeSwap": str(facts.free_swap_mb),
        "Cores": str(facts.cores),
    }
    taken = _RESERVED | {name.lower() for name in attributes}
    for name, value in (extra or {}).items():
        if not _ATTRIBUTE.match(name) or name.lower() in taken:
            raise ValueError(f"JDL attribute {name!r}: expected a new name of letters, digits and '_'")
        taken |= {name.lower()}
        attributes[name] = _literal(value)
    lines = ";\n".join(f"  {name} = {value}" for name, value in attributes.items())
    return f"[\n{lines}\n]"


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"JDL number {value}: expected a finite one")
        return repr(value)
    if isinstance(value, str):
        return _string(value)
    return "{ " + ", ".join(_string(item) for item in value) + " }" if value else "{}"


def _string(text: str) -> str:
    """A ClassAd string literal: quote and back-slash escaped, control characters in octal."""
    if "\0" in text:
        raise ValueError(f"JDL string {text!r}: a ClassAd string cannot hold the character NUL")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(f"\\{ord(c):03o}" if ord(c) < 32 or ord(c) == 127 else c for c in escaped) + '"'
