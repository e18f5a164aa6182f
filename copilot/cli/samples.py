"""Sample configuration files: every key with its meaning and its default, ready to be filled in."""

from __future__ import annotations

from copilot.cli.components import COMPONENTS
from copilot.config import COMMON_FILE, Setting, Settings

COMMON_SAMPLE = """\
# Settings of all Co-Pilot components on this machine.
#
# One `NAME value` a line; the value is the rest of the line; a `#` starts a comment only at the start of a line.
# Read first: a component's own file goes before this one, the environment before both. Keys of other components
# are ignored. `copilot config check` looks at everything without starting anything.
"""


def sample_files() -> dict[str, str]:
    """The text of each file by its name."""
    return {COMMON_FILE: COMMON_SAMPLE} | {cls.program.files[0]: _sample(cls) for cls in COMPONENTS}


def holds_secrets(text: str) -> bool:
    """Whether a password may be filled in, so that nobody else may read the file."""
    return "_PASSWORD" in text or text == COMMON_SAMPLE


def _sample(cls: type[Settings]) -> str:
    program = cls.program
    head = [f"# Settings of copilot-{program.name}; `copilot config check {program.name}` looks at them."]
    if len(program.files) > 1:
        head.append(f"# As long as no key is set here, {' or '.join(program.files[1:])} is read instead.")
    if len(program.prefixes) > 1:
        first, second = program.prefixes
        head.append(f"# Without a {first}_ key the {second}_ key counts, except where it says 'own'.")
    if program.shared_with:
        keys = " or ".join(f"{prefix}_" for prefix in program.shared_with)
        head.append(f"# Where it says 'shared', the {keys} key counts without a {program.prefixes[0]}_ key.")
    # A file with other files behind it stays silent until somebody fills it in.
    active = len(program.files) == 1
    return "\n".join(head + [line for item in cls.declared() for line in _lines(cls, item, active)]) + "\n"


def _lines(cls: type[Settings], item: Setting, active: bool) -> list[str]:
    prefixes = cls.program.prefixes
    own = " (own)" if item.own and len(prefixes) > 1 else ""
    own = " (shared)" if item.shared and cls.program.shared_with else own
    absence = item.absence.replace("*_", f"{prefixes[0]}_")
    blank = "" if active and absence.startswith("required") else "#"
    return [
        "",
        f"# {item.doc}{own}: {item.kind.expects}",
        f"# {absence}" if absence.startswith(("required", "default:")) else f"# without it: {absence}",
        f"{blank}{item.keys(cls.program)[0]} {item.default or ''}".rstrip(),
    ]
