"""The commands as a user runs them: `copilot up` in one directory, jobs submitted to it, agents added by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil

from copilot.job import JobRecord
from copilot.local.process import unprivileged_user
from copilot.local.redis import Redis
from copilot.local.system import RUN_AS, LocalSystem, command_path
from copilot.store.base import Store
from copilot.store.redis import RedisStore
from tests.patience import PATIENCE_S

T = TypeVar("T")
LIMIT_S = PATIENCE_S  # below the limit of a test
POLL_S = 0.02


def until(condition: Callable[[], T], what: str, limit_s: float = LIMIT_S) -> T:
    """The first true value of `condition`; fails after `limit_s` seconds."""
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
        time.sleep(POLL_S)
    return value


def run(
    name: str, *arguments: object, typed: str | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """One of our commands, to its end. `typed`: its standard input."""
    return subprocess.run(
        _argv(name, arguments),
        capture_output=True,
        text=True,
        input=typed,
        timeout=LIMIT_S,
        check=False,
        env={**os.environ, **variables},
    )


@contextlib.contextmanager
def started(
    name: str, *arguments: object, output: Path, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """One of our commands, running, what it says in `output`; killed on the way out if it still runs."""
    with (
        output.open("wb") as file,
        subprocess.Popen(
            _argv(name, arguments), stdout=file, stderr=file, env={**os.environ, **variables}
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def _argv(name: str, arguments: Sequence[object]) -> list[str]:
    return [name if "/" in name else str(command_path(name)), *map(str, arguments)]


def service() -> dict[str, str]:
    """Variables for a daemon of the system that is started by hand: never as root, as in the system itself."""
    user = unprivileged_user()
    if user is None:
        return {}
    # As that user it could not write what it would measure, and would say so after its own last words.
    return {RUN_AS: user, "COVERAGE_PROCESS_START": ""}


def processes_of(directory: Path) -> list[psutil.Process]:
    """All living processes that have to do with `directory`, by command line, environment or working directory."""
    mark, found = str(directory), []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            texts = (*process.cmdline(), *process.environ().values(), process.cwd())
            if process.pid != os.getpid() and any(mark in text for text in texts):
                found.append(process)
    return found


def gone(directory: Path) -> bool:
    """Whether nothing runs any more for `directory`."""
    return not processes_of(directory)


def script(path: Path, text: str) -> Path:
    """A job script."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    return path


def packed(record: dict[str, Any]) -> dict[str, str]:
    """The files of a job's output, by their names below its own directory."""
    with tarfile.open(record["output"]) as package:
        files = {member.name: package.extractfile(member) for member in package if member.isfile()}
        return {
            name.removeprefix(f"{record['id']}/"): file.read().decode()
            for name, file in files.items()
            if file
        }


class VariedSystem(LocalSystem):
    """The embedded system, whose programs have more variables: settings, mostly. No monitor, unless somebody asks for one."""

    more: Sequence[tuple[str, str]] = ()

    def __init__(self, directory: Path, *, monitor: bool = False, **options: Any) -> None:
        super().__init__(directory, monitor=monitor, **options)

    def _environment(self, variables: Sequence[tuple[str, str]]) -> dict[str, str]:
        return super()._environment([*variables, *self.more])


class Up:
    """`copilot up` on one directory, started and stopped any number of times. `programs`: where those of another version lie."""

    def __init__(self, directory: Path, *, programs: Path | None = None) -> None:
        self.directory = directory
        self._programs = programs or Path()
        # Coverage is that of this version.
        self._variables = {} if programs is None else {"COVERAGE_PROCESS_START": ""}
        self.etc = directory / "etc"
        self.output = directory.with_name(f"{directory.name}.out")
        self._process: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def running(self, *options: object, monitor: bool = False) -> Iterator[subprocess.Popen[bytes]]:
        """The process, ready; stopped in order on the way out if the test has not done so. Most tests need no monitor, which
        takes its time to start."""
        options = (*options, "--monitor" if monitor else "--no-monitor")
        words = (self.program("copilot"), "up", "--dir", self.directory, *options)
        with started(*words, output=self.output, **self._variables) as process:
            until(
                lambda: "Running." in self.said() or process.poll() is not None, f"copilot up\n{self.said()}"
            )
            assert process.poll() is None, self.said()
            self._process = process
            yield process
            self.stop()

    def stop(self) -> None:
        """In order, if it runs."""
        if self._process is not None and self._process.poll() is None:
            stop(self._process)

    def said(self) -> str:
        """What it has printed."""
        return self.output.read_text()

    def submit(self, command: Path, *options: object, **variables: str) -> subprocess.CompletedProcess[str]:
        """`copilot-job-submit` to this system."""
        words = (self.program("copilot-job-submit"), "--config", self.etc, "--command", command)
        return run(*words, *options, **{**self._variables, **variables})

    def program(self, name: str) -> str:
        """Under which name it is started."""
        return str(self._programs / name)

    def job(self, command: Path, *options: object) -> dict[str, Any]:
        """Submit, wait for the end, and return what `--json` says of it."""
        ended = self.submit(command, "--wait", "--json", *options)
        assert ended.stdout, ended.stderr
        record: dict[str, Any] = json.loads(ended.stdout)
        return record

    def record(self, job: str) -> JobRecord:
        """What the queue knows of a job."""
        return asyncio.run(self._record(job))

    async def _record(self, job: str) -> JobRecord:
        async with self.store() as store:
            record = await store.get(job)
        assert record is not None
        return record

    @contextlib.asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """The queue."""
        store = RedisStore.from_url(Redis(self.directory / "redis").url)
        try:
            yield store
        finally:
            await store.close()

    def kill(self, program: str) -> None:
        """Kill -9 a server or component (`redis`, `prosody`, `copilot-jobmanager`, `agent-1` …) and wait until
        it runs again."""
        before = self.said().count("runs again")
        os.kill(self._pid(program), signal.SIGKILL)
        until(lambda: self.said().count("runs again") > before, f"{program} again")

    @contextlib.contextmanager
    def suspended(self, program: str) -> Iterator[None]:
        """A server or component does nothing while inside."""
        pid = self._pid(program)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def _pid(self, program: str) -> int:
        """The oldest process whose program, or last argument but its ending, has that name."""
        for process in processes_of(self.directory):
            with contextlib.suppress(psutil.Error):
                words = " ".join(process.cmdline()).split()
                if any(Path(word).name.startswith(program) for word in (*words[:2], *words[-1:])):
                    return process.pid
        raise AssertionError(f"no process {program}")

    def log(self, component: str) -> str:
        """The log of a component since its last start."""
        return (self.directory / "log" / f"{component}.log").read_text()

    @contextlib.contextmanager
    def agent(
        self,
        number: int = 1,
        options: Sequence[object] = (),
        *,
        program: str = "copilot-agent",
        **variables: str,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """An agent on "another machine": a copy of its configuration file is all that it has from here."""
        place = self.directory.parent / f"machine-{number}"
        place.mkdir(mode=0o755, exist_ok=True)
        work, copy, output = place / "work", place / "copy.conf", place / "agent.out"
        shutil.copyfile(self.directory / "agents" / f"agent-{number}.conf", copy)
        copy.chmod(0o600)
        if (user := unprivileged_user()) is not None:
            work.mkdir(mode=0o700, exist_ok=True)
            for path in (work, copy):
                shutil.chown(path, user)
        variables = {"AGENT_WORK_DIR": str(work), "AGENT_DRAIN_GRACE": "0", **service(), **variables}
        with started(program, "--config", copy, *options, output=output, **variables) as process:
            until(lambda: "Ready as" in output.read_text() or process.poll() is not None, "the agent's login")
            assert process.poll() is None, output.read_text()
            yield process
            if process.poll() is None:
                assert stop(process) == 0


def remembers_nothing(work_dir: Path) -> bool:
    """Whether the journal of an agent holds no note that counts. (To read it as its agent does would tidy it up.)"""
    lines = (work_dir / "journal" / "notes").read_text().splitlines()
    return not any(line.startswith("+") for line in lines)


def stop(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGINT) -> int:
    """Ask a process to end; its exit code."""
    process.send_signal(number)
    return process.wait(LIMIT_S)
