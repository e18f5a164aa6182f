"""The place where one attempt runs, and its way from staged inputs to a packed output.

<work_dir>/jobs/<job>.a<attempt>/    0700
    payload/                         the command's working directory and HOME; inputs land here
    tmp/                             TMPDIR
    wrapper/                         the script, the texts it reads, its status
    token                            marks the attempt's processes
    stdout  stderr  validation.out   as they come
    <job>.tgz                        the package
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from copilot.agent import processes, strays
from copilot.agent.trees import remove_tree
from copilot.agent.verdict import DISK_FULL_TEXT, judge
from copilot.agent.wrapper import NOT_STARTED, SCRIPT, STATUS, Step, Wrapper
from copilot.errors import BadName, NoSpace, TransferRefused
from copilot.files.archive import pack
from copilot.files.base import FileFacts
from copilot.files.disk import disk_errors, open_file
from copilot.files.newfile import NewFile
from copilot.job import Cause, JobSpec, Outcome, check_job_id, check_relative_name, one_line

TOKEN_FILE = "token"  # noqa: S105 - a name, no secret
VALIDATION_LIMIT = 3600.0  # s
LEAST_SPACE = 1024 * 1024  # bytes; with less, the disk counts as full
_TAIL = 4096  # bytes of stderr that are searched for its last line

_KEPT_VARIABLES = ("PATH", "LANG", "TZ")  # the agent's own that a payload may see
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """The packed output: where it lies, its size and hash, and what is not in it as the job left it."""

    path: Path
    facts: FileFacts
    notes: tuple[str, ...]


class Sandbox:
    """One attempt's directory. `prepare` and `remove` block: call them in a thread."""

    def __init__(
        self, work_dir: Path, job: str, attempt: int, *, cores: int = 1, package_tool: Sequence[str] = ()
    ) -> None:
        """Makes nothing yet. `package_tool`: see `Wrapper`. Raises `BadName` for a bad job id."""
        self.directory = work_dir.resolve() / "jobs" / f"{check_job_id(job)}.a{attempt}"
        self.payload = self.directory / "payload"
        self.stdout = self.directory / "stdout"
        self.stderr = self.directory / "stderr"
        self.validation_out = self.directory / "validation.out"
        self.package = self.directory / f"{job}.tgz"
        self._wrapper = self.directory / "wrapper"
        self._temporary = self.directory / "tmp"
        self._token_file = self.directory / TOKEN_FILE
        self._token: str | None = None  # once read: a payload may remove the file
        self._job, self._attempt, self._cores = job, attempt, cores
        self._package_tool = package_tool
        self._staged: dict[str, tuple[int, int, int] | None] = {}

    def prepare(self) -> None:
        """Make the directory afresh; processes and files of the same attempt, left by a crash, are removed.

        Another `Sandbox` of the same attempt may go on from here. Raises `NoSpace` and other `TransferError`s.
        """
        self.remove()
        with disk_errors(f"making {self.directory}"):
            self.directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for directory in (self.directory, self.payload, self._temporary, self._wrapper):
                directory.mkdir(mode=0o700)
            self._token_file.write_text(secrets.token_hex(16))
            self._token = None

    def input_path(self, name: str) -> Path:
        """Where the input file `name` goes; makes its directories. Raises `BadName`, `NoSpace`."""
        path = self.payload / check_relative_name(name)
        with disk_errors(f"making the directory of input file {name}"):
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                raise BadName(
                    f"input file {name!r}: a directory in it is another input file; rename one"
                ) from error
            if path.is_dir() or path.parent.resolve() != path.parent:
                raise BadName(f"input file {name!r}: is a directory or lies outside the job's; rename it")
        return path

    async def run(self, spec: JobSpec, limit: float | None, stop: asyncio.Event | None = None) -> Outcome:
        """Run the command of `spec` for at most `limit` seconds, or until `stop` is set, and say how it ended.

        Everything that the job can bring about ends in an `Outcome`. Cancelling kills it. Raises
        `TransferError` if the directory was not prepared or its disk is damaged, OSError if this host cannot even
        start a shell.
        """
        self._staged = {item.name: _stamp(self.payload / item.name) for item in spec.inputs}
        try:
            self._write_wrapper(spec, spec.command, spec.arguments)
        except BadName as error:
            return Outcome(cause=Cause.USER_PREREQUISITE, exit_code=NOT_STARTED, reason=one_line(str(error)))
        except NoSpace as error:
            return Outcome(cause=Cause.INFRA_DISK_FULL, exit_code=NOT_STARTED, reason=one_line(str(error)))
        ended = await self._execute(limit, self.stdout, self.stderr, stop=stop)
        said = self.stderr_tail(_TAIL)
        return judge(
            ended,
            self._status(),
            last_line=next((line.strip() for line in reversed(said.splitlines()) if line.strip()), ""),
            disk_full=DISK_FULL_TEXT in said or self.free_bytes() < LEAST_SPACE,
        )

    async def validate(self, spec: JobSpec, stop: asyncio.Event | None = None) -> int:
        """Run the validation script as the command was run; its exit code, 0 if the output is good.

        Its output goes to `validation_out`. COPILOT_STDOUT and COPILOT_STDERR name the job's. Raises as
        `run` does, and `NoSpace`.
        """
        assert spec.validation is not None
        self._write_wrapper(spec, spec.validation, "")
        streams = {"COPILOT_STDOUT": str(self.stdout), "COPILOT_STDERR": str(self.stderr)}
        ended = await self._execute(
            VALIDATION_LIMIT, self.validation_out, self.validation_out, streams, stop=stop
        )
        started = self._status() in ("", Step.STARTED)
        return ended.shell_code or (0 if started else NOT_STARTED)

    async def pack(self, limit: int) -> Package:
        """Pack stdout, stderr and what the job left, but for inputs that it did not change.

        Also for an attempt that an agent's death interrupted: what runs of it is stopped before. Raises
        `NoSpace`, `TransferRefused` if the package grows over `limit` bytes, and other `TransferError`s.
        """
        with disk_errors(f"packing {self._job}"):
            self.package.unlink(missing_ok=True)
            with NewFile.at(self.package) as new:  # left when we are cancelled, and then the thread ends, too
                notes = await asyncio.to_thread(self._pack, new, limit)
                await asyncio.to_thread(new.commit)
        return Package(path=self.package, facts=new.facts, notes=notes)

    def _pack(self, new: NewFile, limit: int) -> tuple[str, ...]:
        self._stop_leftovers()
        unchanged = {name for name, stamp in self._staged.items() if stamp == _stamp(self.payload / name)}
        streams = {
            path.name: path for path in (self.stdout, self.stderr, self.validation_out) if path.exists()
        }
        return pack(new, self._job, self.payload, streams=streams, leave_out=unchanged, limit=limit)

    def stderr_tail(self, count: int) -> str:
        """The last `count` bytes of stderr as text; empty if there is none."""
        try:
            with open_file(str(self.stderr)) as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - count))
                return (file.read(count) or b"").decode(errors="backslashreplace")
        except (OSError, TransferRefused):  # the payload may have removed or replaced it
            return ""

    def free_bytes(self) -> int:
        """Room on the disk that this attempt may use; 0 if its directory is gone."""
        try:
            disk = os.statvfs(self.directory)
        except OSError:
            return 0
        return disk.f_bavail * disk.f_frsize

    def remove(self) -> None:
        """Stop what still runs of the attempt and remove its directory; a missing one is fine.

        Raises `TransferError`s, for a mount point that the payload left for instance.
        """
        with disk_errors(f"removing {self.directory}"):
            self._stop_leftovers()
            remove_tree(self.directory)

    def _stop_leftovers(self) -> None:
        """Stop what an agent that died left running. After a `run` of our own there is nothing."""
        if self._token is None:
            with suppress(FileNotFoundError):
                strays.stop(self._known_token())

    def _known_token(self) -> str:
        """The token that `prepare` wrote; raises FileNotFoundError if it did not."""
        if self._token is None:
            self._token = self._token_file.read_text()
        return self._token

    def _write_wrapper(self, spec: JobSpec, command: str, arguments: str) -> None:
        """Write the script and make the command executable: file servers do not carry permissions."""
        wrapper = Wrapper(
            directory=self._wrapper,
            payload=self.payload,
            shell=shutil.which("bash") or "/bin/sh",
            command=command,
            arguments=arguments,
            environment=spec.environment,
            packages=spec.packages,
            package_tool=self._package_tool,
        )
        with disk_errors(f"writing the script of {self._job}"):
            self._wrapper.mkdir(
                mode=0o700, exist_ok=True
            )  # the job may have removed it before the validation
            for name, text in wrapper.files().items():
                (self._wrapper / name).write_text(text, encoding="utf-8")
            (self._wrapper / STATUS).unlink(missing_ok=True)
            path = self.payload / command
            if path.is_file() and not path.is_symlink():
                path.chmod(path.stat().st_mode | stat.S_IXUSR)

    async def _execute(
        self,
        limit: float | None,
        stdout: Path,
        stderr: Path,
        more: Mapping[str, str] | None = None,
        *,
        stop: asyncio.Event | None = None,
    ) -> processes.Exit:
        return await processes.run(
            [shutil.which("bash") or "/bin/sh", str(self._wrapper / SCRIPT)],
            cwd=self.payload,
            environment={**self._environment(), **(more or {})},
            stdout=stdout,
            stderr=stderr,
            token=self._known_token(),
            limit=limit,
            stop=stop,
        )

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        return {
            "PATH": _DEFAULT_PATH,
            **kept,
            "HOME": str(self.payload),
            "TMPDIR": str(self._temporary),
            "COPILOT_JOB_ID": self._job,
            "COPILOT_ATTEMPT": str(self._attempt),
            "COPILOT_CORES": str(self._cores),
        }

    def _status(self) -> str:
        """What the script wrote last; empty if the disk was too full for that."""
        try:
            return (self._wrapper / STATUS).read_text(encoding="utf-8", errors="backslashreplace").strip()
        except OSError:
            return ""


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written or replaced; None if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
