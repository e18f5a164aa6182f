"""What runs a payload: the command itself or, where a job has text for a shell, a script that ends as the command.

Text from the job stands in files of its own, beside the payload's directory: an unfinished quote in it ends
with its file, and the shell checks each file (`-n`) before it reads it. After each step the script writes the
name of the next one to the status file, so what went wrong is told by the step, never guessed from an exit
code, which the payload may use as well.
"""

from __future__ import annotations

import enum
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from copilot.errors import BadName
from copilot.job import check_relative_name
from copilot.records import dataclass

SCRIPT, STATUS = "run.sh", "status"
NOT_STARTED, CANNOT_EXECUTE, NOT_FOUND = 125, 126, 127  # exit codes; 126 and 127 as a shell uses them

_ENVIRONMENT, _COMMAND, _PACKAGE = "environment.sh", "command.sh", "package.sh"
_PLAIN = re.compile(
    r"[A-Za-z0-9_./:=,@%+ -]*\Z", re.ASCII
)  # a shell makes the very same words of it as we do
_WORD = r"[A-Za-z0-9_][A-Za-z0-9._+-]*"
_PACKAGE_NAME = re.compile(rf"(?:VO_[A-Za-z0-9_-]+@)?({_WORD})(?:(?:::|/)({_WORD}))?\Z", re.ASCII)


class Step(enum.StrEnum):
    """What the script was about when it ended; `PACKAGE` is followed by a blank and the package's name."""

    ENVIRONMENT = "environment"
    PACKAGE = "package"
    ARGUMENTS = "arguments"
    COMMAND = "command"  # it is missing, or the system refused to execute it
    STARTED = "started"  # the exit code is the payload's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapper:
    """What goes into the script; texts as in `JobSpec`.

    `directory` (absolute) takes the files of `files()` and the status; `payload` (absolute) is where the
    command runs. `package_tool` prints the shell text that sets a package up; its name is the last argument.
    """

    directory: Path
    payload: Path
    shell: str
    command: str
    arguments: str = ""
    environment: str = ""
    packages: Sequence[str] = ()
    package_tool: Sequence[str] = ()

    def files(self) -> Mapping[str, str]:
        """Names and texts of the files. Raises `BadName` for a command or package that must not reach a shell."""
        check_relative_name(self.command)
        names = [package_name(package) for package in self.packages]
        if names and not self.package_tool:
            raise BadName(
                f"package {names[0]!r}: this agent has no AGENT_PACKAGE_TOOL to set packages up with"
            )
        script = [
            f"#!{self.shell}",
            *(self._environment() if self.environment.strip() else ()),
            *(line for name in names for line in self._package(name)),
            *self._exec(),
        ]
        return {
            SCRIPT: "\n".join(script) + "\n",
            _ENVIRONMENT: self.environment + "\n",
            _COMMAND: f"exec {shlex.quote(f'./{self.command}')} {self.arguments}\n",
        }

    def _environment(self) -> list[str]:
        text = self._quoted(_ENVIRONMENT)
        return [self._step(Step.ENVIRONMENT), self._checked(text), f". {text}"]

    def _package(self, name: str) -> list[str]:
        text, tool = self._quoted(_PACKAGE), shlex.join([*self.package_tool, name])
        return [
            self._step(f"{Step.PACKAGE} {name}"),
            f"{tool} > {text} || exit {NOT_STARTED}",
            self._checked(text),
            f". {text} || exit {NOT_STARTED}",  # environment modules tell of failure only here
        ]

    def _exec(self) -> list[str]:
        text, command = self._quoted(_COMMAND), shlex.quote(f"./{self.command}")
        return [
            *((self._step(Step.ARGUMENTS), self._checked(text)) if self.arguments.strip() else ()),
            self._step(Step.COMMAND),
            f"cd {shlex.quote(str(self.payload))}",  # the texts before may have gone elsewhere
            f"[ -e {command} ] || {{ echo {command}: not found >&2; exit {NOT_FOUND}; }}",
            f"[ -f {command} ] && [ -x {command} ] || {{ echo {command}: not executable >&2; exit {CANNOT_EXECUTE}; }}",
            # A failed exec ends dash at once, and bash too unless told otherwise, which then skips the trap.
            f"trap {shlex.quote(self._step(Step.COMMAND))} EXIT",
            "shopt -s execfail 2>/dev/null || :",  # dash has none
            self._step(Step.STARTED),
            f". {text}",
            "exit",
        ]

    def _step(self, step: str) -> str:
        return f"echo {shlex.quote(step)} > {self._quoted(STATUS)}"

    def _checked(self, text: str) -> str:
        return f"{shlex.quote(self.shell)} -n {text} || exit {NOT_STARTED}"

    def _quoted(self, name: str) -> str:
        return shlex.quote(str(self.directory / name))


def plain_command(
    command: str, arguments: str, environment: str, packages: Sequence[str]
) -> list[str] | None:
    """The words of a command that needs no shell; None if one has to read its texts. Raises `BadName`."""
    check_relative_name(command)
    if packages or environment.strip() or not _PLAIN.match(arguments):
        return None
    return [f"./{command}", *arguments.split()]


def package_name(package: str) -> str:
    """The package as its tool wants it: `VO_X@Name::version` is `Name/version`. Raises `BadName`."""
    match = _PACKAGE_NAME.match(package)
    if not match:
        raise BadName(f"package {package[:140]!r}: expected Name, Name/version or VO_X@Name::version")
    name, version = match.groups()
    return f"{name}/{version}" if version else name
