"""The place where one attempt runs, and its way from staged inputs to a packed output.

<work_dir>/jobs/<job>.a<attempt>/    0700
    payload/                         the command's working directory and HOME; inputs land here
    tmp/                             TMPDIR
    wrapper/                         the script, the texts it reads, its status; where a shell is needed
    token                            marks the attempt's processes
    stdout  stderr  validation.out   as they come
    <job>.tgz                        the package
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from copilot.agent import processes, strays
from copilot.agent.capacity import Share
from copilot.agent.gpus import devices_of
from copilot.agent.isolation.base import Account, Allowed, Bare, Isolation, Place
from copilot.agent.limits.keeping import Keeping
from copilot.agent.limits.rlimits import ProcessLimits
from copilot.agent.spares import PAYLOAD, TEMPORARY, Spares
from copilot.agent.strays import TOKEN_VARIABLE
from copilot.agent.threads import in_thread
from copilot.agent.trees import remove_tree
from copilot.agent.verdict import DISK_FULL_TEXT, judge, memory_refused
from copilot.agent.wrapper import (
    CANNOT_EXECUTE,
    NOT_FOUND,
    NOT_STARTED,
    SCRIPT,
    STATUS,
    Step,
    Wrapper,
    plain_command,
)
from copilot.errors import BadName, NoSpace, TransferRefused
from copilot.files.archive import pack
from copilot.files.base import FileFacts
from copilot.files.disk import disk_errors, open_file, read_small, write_small
from copilot.files.spill import Spill
from copilot.job import Cause, JobSpec, Outcome, check_job_id, check_relative_name, one_line
from copilot.log import JobRef
from copilot.records import dataclass

TOKEN_FILE = "token"  # noqa: S105 - a name, no secret
VALIDATION_LIMIT = 3600.0  # s
LEAST_SPACE = 1024 * 1024  # bytes; with less, the disk counts as full
NEARLY_FULL = (
    1024 * 1024 * 1024
)  # bytes; with less, a payload in a sandbox is believed that there were too few
TAIL = 2000  # characters of stderr that go into the report
_LONGEST_FIRST_LINE = 256  # bytes that the kernel looks at
_SEARCHED = 4096  # bytes of stderr that are searched for its last line

_KEPT_VARIABLES = ("PATH", "LANG", "TZ")  # the agent's own that a payload may see
_THREADS = ("OMP_NUM_THREADS",)  # else most programs take all cores that they see; a job may set it otherwise
_GPUS = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")  # with no name in them, there is none
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


LARGEST_PACKAGE = (
    16 * 1024
)  # bytes of a packed output that goes with the report itself, and never becomes a file
_FEW, _LITTLE = 8, 64 * 1024  # files, and bytes of all of them, that are packed in no time


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """The packed output: its size and hash, and what is not in it as the job left it. `data` is the output itself, if it
    is small; else it lies where the sandbox says."""

    facts: FileFacts
    data: bytes | None
    notes: tuple[str, ...]


class Sandbox:
    """One attempt's directory. `prepare` and `remove` block: call them in a thread."""

    def __init__(
        self,
        work_dir: Path,
        job: str,
        attempt: int,
        *,
        package_tool: Sequence[str] = (),
        spares: Spares | None = None,
        isolation: Isolation | None = None,
        keeping: Keeping | None = None,
    ) -> None:
        """Makes nothing yet. `work_dir` is absolute, without symlinks; `package_tool`: see `Wrapper`; `isolation` keeps the
        payload apart, `keeping` holds it to its limits. Raises `BadName` for a bad job id."""
        jobs = work_dir / "jobs"
        self.directory = jobs / f"{check_job_id(job)}.a{attempt}"
        self.payload = self.directory / PAYLOAD
        self.stdout = self.directory / "stdout"
        self.stderr = self.directory / "stderr"
        self.validation_out = self.directory / "validation.out"
        self.package = self.directory / f"{job}.tgz"
        self._wrapper = self.directory / "wrapper"
        self._temporary = self.directory / TEMPORARY
        self._token_file = self.directory / TOKEN_FILE
        self._token: str | None = None  # once read: a payload may remove the file
        self.ref = JobRef(job, attempt)  # for the log
        self._job, self._attempt = job, attempt
        self._package_tool = package_tool
        self._spares = spares or Spares(jobs)
        self.isolation = isolation or Bare()  # a job's image may bring another
        self.share = Share()  # of what the agent has
        self.secrets: Path | None = None  # where they lie, if the job has any
        self._keeping = keeping or Keeping()
        self.ran: float | None = None  # s that the command ran, if it did
        self._left_nothing = True  # running, that is
        self._handed_over = False
        self._staged: dict[str, tuple[int, int, int] | None] = {}

    def prepare(self) -> None:
        """Make the directory afresh; processes and files of the same attempt, left by a crash, are removed.

        Another `Sandbox` of the same attempt may go on from here. Raises `NoSpace` and other `TransferError`s.
        """
        if self.directory.exists():
            self.remove()
        with disk_errors(f"making {self.directory}"):
            if not self._spares.take(self.directory):
                self.directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                for directory in (self.directory, self.payload, self._temporary):
                    directory.mkdir(mode=0o700)
            self._token = secrets.token_hex(16)
            write_small(self._token_file, self._token.encode())

    def write_input(self, name: str, data: bytes) -> None:
        """Write an input file. Raises as `input_path`."""
        path = self.input_path(name)
        with disk_errors(f"writing input file {name}"):
            write_small(path, data)

    def input_path(self, name: str) -> Path:
        """Where the input file `name` goes; makes its directories. Raises `BadName`, `NoSpace`."""
        path = self.payload / check_relative_name(name)
        if "/" not in name and not path.is_dir():
            return path
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

    async def run(
        self, spec: JobSpec, limit: float | None, wishes: processes.Wishes | None = None
    ) -> Outcome:
        """Run the command of `spec` for at most `limit` seconds, or until somebody wishes its end, and say how it ended.

        Everything that the job can bring about ends in an `Outcome`. Cancelling kills it. Raises
        `TransferError` if the directory was not prepared or its disk is damaged, OSError if this host cannot even
        start a shell.
        """
        self._staged = {item.name: _stamp(self.payload / item.name) for item in spec.inputs}
        try:
            ended, status = await self._execute(spec, spec.command, spec.arguments, limit, wishes=wishes)
        except BadName as error:
            return Outcome(cause=Cause.USER_PREREQUISITE, exit_code=NOT_STARTED, reason=one_line(str(error)))
        except NoSpace as error:
            return Outcome(cause=Cause.INFRA_DISK_FULL, exit_code=NOT_STARTED, reason=one_line(str(error)))
        self.ran = ended.seconds
        said = self._end_of_stderr()
        outcome = judge(
            ended,
            status,
            last_line=next((line.strip() for line in reversed(said.splitlines()) if line.strip()), ""),
            disk_full=self._disk_is_full(said),
            memory=self._keeping.refusing(spec.limits, self.share.cores) if memory_refused(said) else None,
        )
        used = ended.usage
        return replace(
            outcome,
            tail=said[-TAIL:].strip(),
            sandbox=f"{self.isolation.level}, {self._keeping.level}",
            cpu_time=None if used.cpu_time is None else round(used.cpu_time, 3),
            memory=used.memory,
            disk=used.disk,
        )

    def _disk_is_full(self, said: str) -> bool:
        """Of the host. What a payload says in a sandbox may as well be about its own `/tmp`, which is small."""
        free = self.free_bytes()
        near = isinstance(self.isolation, Bare) or free < NEARLY_FULL
        return free < LEAST_SPACE or (DISK_FULL_TEXT in said and near)

    async def validate(self, spec: JobSpec, wishes: processes.Wishes | None = None) -> int:
        """Run the validation script as the command was run; its exit code, 0 if the output is good.

        Its output goes to `validation_out`. COPILOT_STDOUT and COPILOT_STDERR name the job's. Raises as
        `run` does, and `NoSpace`.
        """
        assert spec.validation is not None
        ended, status = await self._execute(
            spec, spec.validation, "", VALIDATION_LIMIT, out=self.validation_out, wishes=wishes
        )
        return ended.shell_code or (0 if status in ("", Step.STARTED) else NOT_STARTED)

    async def pack(self, limit: int) -> Package:
        """Pack stdout, stderr and what the job left, but for inputs that it did not change.

        Also for an attempt that an agent's death interrupted: what runs of it is stopped before. Raises
        `NoSpace`, `TransferRefused` if the package grows over `limit` bytes, and other `TransferError`s.
        """
        # The new file is left when we are cancelled, and then the thread ends, too.
        with disk_errors(f"packing {self._job}"), Spill(self.package, LARGEST_PACKAGE) as new:
            streams = [path for path in (self.stdout, self.stderr, self.validation_out) if path.exists()]
            if self._holds_little(streams):
                return self._pack(new, streams, limit)
            return await in_thread(partial(self._pack, new, streams, limit))

    def _holds_little(self, streams: Sequence[Path]) -> bool:
        """So little that to hand it to a thread would take longer than the work."""
        if self._token is None:
            return False
        try:
            with os.scandir(self.payload) as entries:
                found = list(islice(entries, _FEW + 1))
            sizes = [entry.stat(follow_symlinks=False).st_size for entry in found]
            sizes += [path.lstat().st_size for path in streams]
            plain = all(entry.is_file(follow_symlinks=False) for entry in found)
        except OSError:
            return False
        return plain and len(found) <= _FEW and sum(sizes) <= _LITTLE

    def _pack(self, new: Spill, streams: Sequence[Path], limit: int) -> Package:
        self._stop_leftovers()
        unchanged = {name for name, stamp in self._staged.items() if stamp == _stamp(self.payload / name)}
        named = {path.name: path for path in streams}
        notes = pack(new, self._job, self.payload, streams=named, leave_out=unchanged, limit=limit)
        data = new.commit(durable=False)  # the lease covers a power cut
        return Package(facts=new.facts, data=data, notes=notes)

    def _end_of_stderr(self) -> str:
        """Its last bytes as text; empty if there is none."""
        try:
            with open_file(str(self.stderr)) as file:
                size = os.fstat(file.fileno()).st_size
                if size == 0:
                    return ""
                file.seek(max(0, size - _SEARCHED))
                return (file.read(_SEARCHED) or b"").decode(errors="backslashreplace")
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

    def set_aside(self) -> bool:
        """Clear the directory for another attempt, in no time; False if that cannot be done: then it must be removed. Raises
        as `remove`."""
        with disk_errors(f"clearing {self.directory}"):
            return self._token is not None and self._left_nothing and self._spares.put(self.directory)

    def _stop_leftovers(self) -> None:
        """Stop what an agent that died left running. After a `run` of our own there is nothing."""
        if self._token is None:
            with suppress(
                FileNotFoundError, TransferRefused, ValueError
            ):  # or the payload has put something else there
                strays.stop(self._known_token(), of=self.ref)

    def _known_token(self) -> str:
        """The token that `prepare` wrote; raises FileNotFoundError if it did not."""
        if self._token is None:
            self._token = read_small(self._token_file).decode()
        return self._token

    async def _execute(
        self,
        spec: JobSpec,
        command: str,
        arguments: str,
        limit: float | None,
        *,
        out: Path | None = None,
        wishes: processes.Wishes | None = None,
    ) -> tuple[processes.Exit, str]:
        """Run a command of the job; how it ended, and the last step of what ran it. With `out` for its output it may read that
        of the job. Raises `NoSpace`, too."""
        with disk_errors(f"looking into {self.directory}"):
            token = self._known_token()
        if self.free_bytes() < LEAST_SPACE:
            raise NoSpace(
                f"less than {LEAST_SPACE} bytes are free at {self.directory}: free space and try again"
            )
        place = Place(
            payload=self.payload,
            temporary=self._temporary,
            wrapper=self._wrapper,
            streams=() if out is None else (self.stdout, self.stderr),
            secrets=self.secrets,
        )
        run = partial(
            self._watched,
            spec=spec,
            place=place,
            environment=self._environment(self.isolation.inside(place)),
            stdout=out or self.stdout,
            stderr=out or self.stderr,
            token=token,
            of=self.ref,
            limit=limit,
            wishes=wishes,
        )
        if spec.image:
            run = partial(run, environment=self._environment(self.isolation.inside(place), host=False))
        plain = plain_command(command, arguments, spec.environment, spec.packages)
        if self.isolation.account is not None:
            with disk_errors(f"making the output files of {self._job}"):
                for path in {out or self.stdout, out or self.stderr, *place.streams}:
                    _make_for(path, self.isolation.account)
        self._make_executable(command)
        self._hand_over(spec)
        if plain is not None:
            # No file, or a script without a first line: a shell knows what to say.
            with suppress(processes.NotStarted):
                needs = self._interpreter(command)
                return await run(plain, needs=needs), Step.STARTED
        shell = (None if spec.image else shutil.which("bash")) or "/bin/sh"
        script = self._write_wrapper(spec, shell, command, arguments, self.isolation.inside(place))
        try:
            return await run([shell, script]), self._status()
        except processes.NotStarted as error:
            if spec.image and error.code in (CANNOT_EXECUTE, NOT_FOUND):
                raise BadName(f"image {spec.image}: it has no {shell} that can be started here") from error
            raise

    async def _watched(
        self,
        argv: Sequence[str],
        *,
        spec: JobSpec,
        place: Place,
        needs: tuple[str, ...] = (),
        environment: Mapping[str, str],
        token: str,
        **how: Any,
    ) -> processes.Exit:
        """`processes.run` under the job's limits, as the isolation has it; after what it leaves behind, or a cancellation, the
        directory is not used again."""
        clean, self._left_nothing = self._left_nothing, False
        cores = self.share.cores
        with self._keeping.hold(self.directory.name, spec.limits, self.directory, cores) as held:
            limits = ProcessLimits.of(
                held.limits, data=held.group is None, processes=self.isolation.counts_processes
            )
            allowed = Allowed(
                network=spec.network,
                needs=needs,
                preamble=limits.shell(),
                devices=devices_of(self.share.gpus or ()),
                environment={**environment, TOKEN_VARIABLE: token},
            )
            with self.isolation.launch(argv, place, allowed) as launch:
                ended = await processes.run(
                    held.entered(launch.argv),
                    environment=environment if launch.environment is None else launch.environment,
                    token=token,
                    cwd=launch.cwd,
                    descriptors=launch.descriptors,
                    contained=launch.contained,
                    limits=None if launch.contained else limits,
                    watch=held.watch,
                    cpus=self.share.cpus,
                    **how,
                )
        self._left_nothing = clean and ended.strays == 0 and self.isolation.forgets(allowed)
        return ended

    def _hand_over(self, spec: JobSpec) -> None:
        """Give what the payload may change to the account that it runs as, if that is another one than ours."""
        account = self.isolation.account
        if account is None or self._handed_over:
            return
        names = {spec.command, spec.validation or spec.command, *(item.name for item in spec.inputs)}
        directories = {part for name in names for part in Path(name).parents}
        with disk_errors(f"giving {self.directory} to the payload's user"):
            for path in (
                self.payload,
                self._temporary,
                *(self.payload / name for name in names | directories),
            ):
                _give(path, account)
        self._handed_over = True

    def _interpreter(self, command: str) -> tuple[str, ...]:
        """What the first line of a script names (execve(2)); nothing if that is not one, or cannot be read."""
        try:
            with open_file(str(self.payload / command)) as file:
                line = (file.read(_LONGEST_FIRST_LINE) or b"").partition(b"\n")[0]
        except (OSError, TransferRefused):
            return ()
        words = line.removeprefix(b"#!").split(None, 1) if line.startswith(b"#!") else []
        return (os.fsdecode(words[0]),) if words else ()

    def _make_executable(self, command: str) -> None:
        """File servers do not carry permissions."""
        path = self.payload / command
        with suppress(OSError):
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode) and path.parent.resolve() == path.parent:
                path.chmod(mode | stat.S_IXUSR)

    def _write_wrapper(self, spec: JobSpec, shell: str, command: str, arguments: str, inside: Place) -> str:
        """The path of the script, as its shell sees it."""
        wrapper = Wrapper(
            directory=inside.wrapper,
            payload=inside.payload,
            shell=shell,
            command=command,
            arguments=arguments,
            environment=spec.environment,
            packages=spec.packages,
            package_tool=self._package_tool,
        )
        with disk_errors(f"writing the script of {self._job}"):
            self._wrapper.mkdir(mode=0o700, exist_ok=True)
            for name, text in wrapper.files().items():
                write_small(self._wrapper / name, text.encode())
            (self._wrapper / STATUS).unlink(missing_ok=True)
            if self.isolation.account is not None:
                for path in (self._wrapper, *(self._wrapper / name for name in wrapper.files())):
                    _give(path, self.isolation.account)
        return str(inside.wrapper / SCRIPT)

    def _environment(self, inside: Place, *, host: bool = True) -> dict[str, str]:
        """Not of the `host`: an image knows better what its programs need."""
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        of_host = {"PATH": _DEFAULT_PATH, **kept} if host else {}
        streams = dict(zip(("COPILOT_STDOUT", "COPILOT_STDERR"), map(str, inside.streams), strict=False))
        secrets = {} if inside.secrets is None else {"COPILOT_SECRETS": str(inside.secrets)}
        return {
            **of_host,
            **streams,
            **secrets,
            "HOME": str(inside.payload),
            "PWD": str(inside.payload),
            "TMPDIR": str(inside.temporary),
            "COPILOT_JOB_ID": self._job,
            "COPILOT_ATTEMPT": str(self._attempt),
            "COPILOT_CORES": str(self.share.cores),
            **{name: str(self.share.cores) for name in _THREADS},
            **{name: ",".join(self.share.gpus) for name in _GPUS if self.share.gpus is not None},
        }

    def _status(self) -> str:
        """What the script wrote last; empty if the disk was too full for that."""
        try:
            return read_small(self._wrapper / STATUS).decode(errors="backslashreplace").strip()
        except (OSError, TransferRefused):
            return ""


def _make_for(path: Path, account: Account) -> None:
    """A file for what a payload says, which it may open again (as /dev/stderr, for instance)."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        os.fchown(descriptor, account.uid, account.gid)
    finally:
        os.close(descriptor)


def _give(path: Path, account: Account) -> None:
    """What is not there needs no owner. Symlinks are not followed."""
    with suppress(FileNotFoundError):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written or replaced; None if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
