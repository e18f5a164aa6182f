"""The agent's effects on real files and processes: each ends in a value that tells the truth."""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import io
import os
import signal
import tarfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from copilot.agent import service as module
from copilot.agent.effects import (
    Assignment,
    Begin,
    Execute,
    Forget,
    Kill,
    Note,
    Pack,
    Remember,
    Stop,
    Upload,
)
from copilot.agent.isolation.images import ImageRules, Images
from copilot.agent.isolation.podman import Podman
from copilot.agent.journal import Journal
from copilot.agent.processes import become_subreaper
from copilot.agent.sandbox import Sandbox
from copilot.agent.service import FETCH_TRIES, AgentService, ServiceSettings, _is_written
from copilot.errors import (
    CopilotError,
    NoSpace,
    TransferCorrupt,
    TransferError,
    TransferRefused,
    TransferUnavailable,
)
from copilot.files.base import FileFacts
from copilot.files.clients import Files
from copilot.job import Cause, Outcome, Output
from copilot.protocol.commands import Job, JobInput, Secret
from tests.patience import PATIENCE_S

MEBIBYTE = 1024 * 1024


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    become_subreaper()
    monkeypatch.setattr(module, "FIRST_FETCH_RETRY", 0.0)


def without_use(outcome: Outcome) -> Outcome:
    """But for what it used, which no two runs have alike."""
    return replace(
        outcome,
        sandbox="",
        cpu_time=None,
        memory=None,
        disk=None,
        wall_time=None,
        bytes_in=None,
        bytes_out=None,
    )


class World:
    """An agent's work directory, a directory that it shares with its manager, and a service over both."""

    def __init__(self, root: Path, files: Any = None, **settings: Any) -> None:
        self.work, self.shared = root / "work", root / "shared"
        for directory in (self.work, self.shared):
            directory.mkdir(exist_ok=True)
        values = {"work_dir": self.work, "package_tool": (), "max_output": MEBIBYTE, **settings}
        self.service = AgentService(ServiceSettings(**values), files or Files.standard(shared=(self.shared,)))

    def input(self, name: str, text: str) -> JobInput:
        """A file in the shared directory, as a manager describes it."""
        path, data = self.shared / name, text.encode()
        path.write_bytes(data)
        return JobInput(name=name, url=path.as_uri(), size=len(data), sha256=hashlib.sha256(data).hexdigest())

    def assigned(self, script: str, *more: JobInput, **fields: Any) -> Assignment:
        """A job whose command is this shell script; it is remembered, as the logic does it first."""
        command = self.input("run.sh", f"#!/bin/sh\n{script}\n")
        job = Job(id="j", command="run.sh", attempt=2, inputs=(command, *more), **fields)
        assignment = Assignment(job=job, manager="jm@x", claim="claim")
        assert self.service.perform(Remember(note=Note(assignment=assignment))) is None
        return assignment

    async def run(self, assignment: Assignment) -> Outcome:
        result = await self.begin(Execute(assignment=assignment))
        assert isinstance(result, Outcome)
        return result

    def begin(self, effect: Any) -> Awaitable[Any]:
        pending = self.service.perform(effect)
        assert pending is not None
        return pending

    @property
    def attempt(self) -> Path:
        return self.work / "jobs" / "j.a2"

    @property
    def package(self) -> Path:
        return self.attempt / "j.tgz"

    def data(self, assignment: Assignment) -> bytes:
        """The package, wherever it is."""
        small = self.service.package(assignment)
        return self.package.read_bytes() if small is None else small

    def notes(self) -> list[Note]:
        """What the next life of the agent would read."""
        return [kept.note for kept in Journal(self.work / "journal").read()]

    def packed(self) -> dict[str, bytes]:
        """The files in the package."""
        data = self.data(Assignment(job=Job(id="j", command="run.sh", attempt=2), manager="", claim=None))
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            members = [item for item in archive.getmembers() if item.isfile()]
            return {item.name: archive.extractfile(item).read() for item in members}  # type: ignore[union-attr]


def noted(note: Note) -> Note:
    """What of it is in the journal."""
    return Note.from_data(note.to_data())


class TroubledFiles:
    """A `FileClient` that fails so many times with this error, each time an input is asked for."""

    def __init__(self, error: CopilotError | OSError, times: int = 1000) -> None:
        self.error, self.left, self.asked = error, times, 0

    async def get(
        self, url: str, path: Path, *, size: int | None = None, sha256: str | None = None
    ) -> FileFacts:
        self.asked += 1
        if self.left > 0:
            self.left -= 1
            raise self.error
        path.write_text("#!/bin/sh\n")
        return FileFacts(size=10, sha256="")

    async def put(self, path: Path, url: str, *, facts: FileFacts) -> None:
        raise self.error

    async def close(self) -> None:
        """Nothing is held."""


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class TestExecute:
    async def test_a_job_is_fetched_run_and_packed(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        table = world.input("table", "42\n")
        assignment = world.assigned('cat "$1"; echo made >result', table, arguments="table")
        outcome = await world.run(assignment)
        assert without_use(outcome) == Outcome(cause=Cause.OK, exit_code=0, output=outcome.output)
        data = world.data(assignment)
        assert outcome.output == Output(size=len(data), sha256=hashlib.sha256(data).hexdigest())
        assert world.packed() == {"j/stdout": b"42\n", "j/stderr": b"", "j/result": b"made\n"}
        fetched = sum(item.size for item in assignment.job.inputs)
        assert (outcome.bytes_in, outcome.bytes_out) == (fetched, len(data))
        assert outcome.wall_time is not None
        assert 0 < outcome.wall_time < 20

    async def test_what_a_failed_job_leaves_is_packed_too(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        outcome = await world.run(world.assigned("echo why >&2; exit 3"))
        assert (outcome.cause, outcome.exit_code) == (Cause.USER_EXIT, 3)
        assert world.packed()["j/stderr"] == b"why\n"

    async def test_a_manager_of_2011_names_files_of_its_chirp_server(self, tmp_path: Path) -> None:
        job = Job(
            id="j", command="run.sh", attempt=2, chirp_url="h:9094", input_dir="/j", input_files=("a/b",)
        )
        assert [(item.name, item.url) for item in module._inputs(job)] == [("a/b", "chirp://h:9094/j/a/b")]

    @pytest.mark.parametrize(("asked", "allowed"), [(None, 7.0), (3.0, 3.0), (9.0, 7.0), (0.0, 0.0)])
    def test_the_run_time_is_what_the_manager_says_up_to_our_own_limit(
        self, tmp_path: Path, asked: float | None, allowed: float
    ) -> None:
        service = World(tmp_path, max_run_time=7.0).service
        assert service._limit(Job(id="j", command="c", max_run_time=asked)) == allowed

    async def test_a_job_that_runs_too_long_is_stopped(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        outcome = await world.run(world.assigned("exec tail -f /dev/null", max_run_time=0.1))
        assert outcome.cause is Cause.POLICY_RUN_TIME
        assert outcome.output is not None

    async def test_an_exclusive_job_is_fetched_and_runs_when_it_may(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        job = world.assigned("echo ok", exclusive=True, lease=60.0)
        task = asyncio.ensure_future(world.run(job))
        await until((world.attempt / "payload" / "run.sh").exists)
        assert world.service.phase(job) == "fetch"
        assert not (world.attempt / "stdout").exists()
        world.service.perform(Begin(assignment=job))
        assert (await task).cause is Cause.OK

    async def test_an_exclusive_job_that_never_may_is_stopped(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        job = world.assigned("echo ok", exclusive=True, lease=60.0)
        task = asyncio.ensure_future(world.run(job))
        await until((world.attempt / "payload" / "run.sh").exists)
        world.service.perform(Stop(assignment=job))
        assert (await task).reason == "stopped before it began"
        assert "j/stdout" not in world.packed()

    @pytest.mark.parametrize("before", [(), (Stop,)], ids=["at once", "after the stop"])
    async def test_what_must_end_is_killed_with_all_that_it_started(
        self, tmp_path: Path, before: tuple[type[Stop], ...]
    ) -> None:
        world = World(tmp_path)
        deaf = "trap '' TERM; (trap '' TERM; exec setsid tail -f /dev/null) & echo $$ $! >pids; tail -f /dev/null"
        job = world.assigned(deaf)
        task = asyncio.ensure_future(world.run(job))
        written = world.attempt / "payload" / "pids"
        await until(lambda: written.exists() and written.read_text().endswith("\n"))
        for order in (*before, Kill):
            world.service.perform(order(assignment=job))
        outcome = await task
        assert (outcome.cause, outcome.exit_code) == (Cause.CANCELLED, 137)
        assert outcome.output is not None
        assert not any(alive(int(pid)) for pid in written.read_text().split())

    async def test_cancelling_it_kills_the_payload(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        task = asyncio.ensure_future(world.run(world.assigned("echo $$ >pid; exec tail -f /dev/null")))
        written = world.attempt / "payload" / "pid"
        await until(lambda: written.exists() and written.read_text().endswith("\n"))
        pid = int(written.read_text())
        assert alive(pid)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not alive(pid)


class TestFetching:
    async def test_a_file_server_that_is_away_for_a_moment_is_asked_again(self, tmp_path: Path) -> None:
        files = TroubledFiles(TransferUnavailable("away"), times=FETCH_TRIES - 1)
        world = World(tmp_path, files)
        assert (await world.run(world.assigned("true"))).cause is Cause.OK
        assert files.asked == FETCH_TRIES

    @pytest.mark.parametrize(
        ("error", "asked", "cause"),
        [
            (TransferUnavailable("away"), FETCH_TRIES, Cause.INFRA_FETCH),
            (TransferCorrupt("changed"), FETCH_TRIES, Cause.INFRA_FETCH),
            (TransferRefused("expired"), 1, Cause.INFRA_FETCH),
            (NoSpace("full"), FETCH_TRIES, Cause.INFRA_DISK_FULL),
            (OSError(5, "the disk is ill"), 1, Cause.INFRA_FETCH),
        ],
    )
    async def test_what_cannot_be_fetched_ends_the_attempt_by_its_cause(
        self, tmp_path: Path, error: CopilotError | OSError, asked: int, cause: Cause
    ) -> None:
        files = TroubledFiles(error)
        world = World(tmp_path, files)
        outcome = await world.run(world.assigned("echo never"))
        assert (outcome.cause, outcome.exit_code) == (cause, 1)
        assert outcome.reason == f"an input file could not be fetched: {error}"
        assert files.asked == asked
        assert outcome.output is not None  # an empty package tells that nothing ran
        assert world.packed() == {}

    async def test_a_file_that_is_not_what_was_announced_is_not_run(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        changed = replace(world.input("table", "42\n"), sha256="0" * 64)
        outcome = await world.run(world.assigned("echo ran", changed))
        assert outcome.cause is Cause.INFRA_FETCH
        assert "SHA-256 of what arrived" in outcome.reason

    async def test_an_input_that_cannot_have_its_name_is_no_fault_of_the_host(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        below = replace(world.input("table", "42\n"), name="run.sh/table")
        outcome = await world.run(world.assigned("true", below))
        assert outcome.cause is Cause.USER_PREREQUISITE
        assert "'run.sh' is a file and the directory of 'run.sh/table'" in outcome.reason

    async def test_a_reason_can_be_sent_whatever_is_in_it(self, tmp_path: Path) -> None:
        world = World(tmp_path, TroubledFiles(TransferRefused("no file '\udcff\n\x1b[2J'" + "x" * 1000)))
        reason = (await world.run(world.assigned("true"))).reason
        assert reason.isprintable()
        assert len(reason.encode()) <= 510


class TestRunning:
    async def test_a_good_validation_is_told(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        check = world.input("check.sh", "#!/bin/sh\ngrep -q 42 result\n")
        outcome = await world.run(world.assigned("echo 42 >result", check, validation="check.sh"))
        assert (outcome.cause, outcome.exit_code, outcome.validate_exit_code) == (Cause.OK, 0, 0)

    async def test_a_bad_validation_fails_the_job(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        check = world.input("check.sh", "#!/bin/sh\necho wrong; exit 4\n")
        outcome = await world.run(world.assigned("true", check, validation="check.sh"))
        assert (outcome.cause, outcome.exit_code) == (Cause.USER_VALIDATION, 0)
        assert outcome.validate_exit_code == 4
        assert outcome.reason == "the validation script check.sh exited with 4"
        assert world.packed()["j/validation.out"] == b"wrong\n"

    async def test_a_job_that_failed_is_not_validated(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        check = world.input("check.sh", "#!/bin/sh\nexit 4\n")
        outcome = await world.run(world.assigned("exit 3", check, validation="check.sh"))
        assert (outcome.cause, outcome.validate_exit_code) == (Cause.USER_EXIT, None)

    @pytest.mark.parametrize(
        ("error", "cause"),
        [
            (OSError(11, "no process can be started"), Cause.INFRA_LOST),
            (TransferUnavailable("the disk is ill"), Cause.INFRA_LOST),
            (NoSpace("the disk is full"), Cause.INFRA_DISK_FULL),
        ],
    )
    @pytest.mark.parametrize("method", ["run", "validate"])
    async def test_what_the_host_fails_at_is_an_outcome_with_the_output_that_there_is(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        method: str,
        error: CopilotError | OSError,
        cause: Cause,
    ) -> None:
        async def fails(*_: object) -> None:
            raise error

        monkeypatch.setattr(Sandbox, method, fails)
        world = World(tmp_path)
        check = world.input("check.sh", "#!/bin/sh\n")
        outcome = await world.run(world.assigned("echo ran >result", check, validation="check.sh"))
        assert (outcome.cause, outcome.exit_code) == (cause, 1)
        assert outcome.reason == f"this host could not run the job to its end: {error}"
        assert ("j/result" in world.packed()) is (method == "validate")

    async def test_a_job_beyond_our_limits_is_no_fault_of_the_host(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        outcome = await world.run(world.assigned("true", arguments="x" * 100_000))
        assert outcome.cause is Cause.USER_PREREQUISITE


class TestPacking:
    async def test_an_output_that_is_too_large_is_told(self, tmp_path: Path) -> None:
        world = World(tmp_path, max_output=1024)
        outcome = await world.run(world.assigned("head -c 100000 /dev/urandom >result"))
        assert (outcome.cause, outcome.exit_code, outcome.output) == (Cause.INFRA_STORE, 0, None)
        assert outcome.reason.startswith("the output could not be packed: ")
        assert not world.package.exists()

    @pytest.mark.parametrize(
        ("error", "cause"),
        [(NoSpace("full"), Cause.INFRA_DISK_FULL), (OSError(5, "ill"), Cause.INFRA_STORE)],
    )
    async def test_a_disk_that_fails_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: CopilotError | OSError, cause: Cause
    ) -> None:
        async def fails(*_: object) -> None:
            raise error

        monkeypatch.setattr(Sandbox, "pack", fails)
        world = World(tmp_path)
        outcome = await world.run(world.assigned("true"))
        assert without_use(outcome) == Outcome(
            cause=cause, exit_code=0, reason=f"the output could not be packed: {error}"
        )

    async def test_what_went_wrong_first_remains_the_cause(self, tmp_path: Path) -> None:
        world = World(tmp_path, max_output=1024)
        outcome = await world.run(world.assigned("head -c 100000 /dev/urandom >result; echo why >&2; exit 3"))
        assert (outcome.cause, outcome.exit_code) == (Cause.USER_EXIT, 3)
        assert outcome.reason.startswith(
            "exit code 3; last line of stderr: why; the output could not be packed"
        )

    async def test_after_a_restart_what_an_interrupted_attempt_left_is_packed(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        assignment = world.assigned("echo half >result; kill -9 $$")
        await world.run(assignment)
        world = World(tmp_path)
        output = await world.begin(Pack(assignment=assignment))
        data = world.data(assignment)
        assert output == Output(size=len(data), sha256=hashlib.sha256(data).hexdigest())
        assert world.packed()["j/result"] == b"half\n"


class TestUpload:
    async def test_the_package_goes_where_the_storage_manager_says(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        assignment = world.assigned("true")
        output = (await world.run(assignment)).output
        assert output is not None
        there = world.shared / "j.a2.tgz"
        await world.begin(Upload(assignment=assignment, url=there.as_uri(), output=output))
        assert there.read_bytes() == world.data(assignment)

    async def test_an_error_of_the_file_server_reaches_the_logic(self, tmp_path: Path) -> None:
        world = World(tmp_path, TroubledFiles(TransferUnavailable("away"), times=0))
        assignment = world.assigned("true")
        with pytest.raises(TransferError, match="away"):
            await world.begin(
                Upload(assignment=assignment, url="https://x", output=Output(size=1, sha256="0"))
            )


class TestRemembering:
    def test_the_note_is_written_and_the_directory_made_before_anything_runs(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        assignment = world.assigned("true")
        assert world.notes() == [noted(Note(assignment=assignment))]
        assert {path.name for path in world.attempt.iterdir()} == {"payload", "tmp", "token"}

    async def test_the_outcome_is_noted_and_the_output_stays(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        assignment = world.assigned("true")
        note = Note(assignment=assignment, outcome=await world.run(assignment))
        world.service.perform(Remember(note=note))
        assert world.notes() == [noted(note)]

    async def test_a_small_output_outlives_the_agent_in_the_journal(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        assignment = world.assigned("echo made")
        note = Note(assignment=assignment, outcome=await world.run(assignment))
        world.service.perform(Remember(note=note))
        after = World(tmp_path)
        assert after.service.recover() == [noted(note)]
        assert after.service.package(assignment) == world.service.package(assignment)
        assert after.packed()["j/stdout"] == b"made\n"

    async def test_a_large_output_is_a_file(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        assignment = world.assigned("head -c 100000 /dev/urandom")
        await world.run(assignment)
        assert world.service.package(assignment) is None
        assert world.package.stat().st_size > 100_000

    def test_a_disk_that_takes_no_note_is_told_at_once(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        (world.work / "journal").write_text("no directory")
        with pytest.raises(OSError, match="journal"):
            world.assigned("true")

    async def test_what_is_forgotten_is_gone_and_may_be_forgotten_again(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        assignment = world.assigned("true")
        await world.run(assignment)
        for _ in range(2):
            await world.begin(Forget(assignment=assignment))
            assert not world.attempt.exists()
            assert world.service.package(assignment) is None
            assert world.notes() == []

    async def test_a_report_does_not_outlive_its_output(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def dies(_: Sandbox) -> None:
            raise OSError("the agent dies in the middle of it")

        world = World(tmp_path)
        assignment = world.assigned("true")
        monkeypatch.setattr(Sandbox, "set_aside", dies)
        with pytest.raises(OSError, match="in the middle"):
            await world.begin(Forget(assignment=assignment))
        assert world.notes() == []

    def test_an_agent_has_no_other_effects(self, tmp_path: Path) -> None:
        with pytest.raises(TypeError, match="no effect 'dance'"):
            World(tmp_path).service.perform("dance")


class TestRecovery:
    def test_an_agent_that_never_ran_has_nothing_to_recover(self, tmp_path: Path) -> None:
        assert World(tmp_path).service.recover() == []

    def test_what_the_journal_names_stays(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        assignment = world.assigned("true")
        assert World(tmp_path).service.recover() == [noted(Note(assignment=assignment))]
        assert world.attempt.is_dir()

    @pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("+{")])
    def test_an_attempt_without_a_readable_note_is_removed(
        self, tmp_path: Path, damage: Callable[[Path], object]
    ) -> None:
        world = World(tmp_path)
        world.assigned("true")
        damage(world.work / "journal" / "notes")
        assert World(tmp_path).service.recover() == []
        assert list((world.work / "jobs").iterdir()) == []

    async def test_spare_directories_of_a_former_life_are_removed(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        assignment = world.assigned("true")
        await world.run(assignment)
        await world.begin(Forget(assignment=assignment))
        assert len(list((world.work / "jobs").iterdir())) == 1
        World(tmp_path).service.recover()
        assert list((world.work / "jobs").iterdir()) == []

    async def test_an_agent_that_ends_leaves_no_spare_directories(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        assignment = world.assigned("true")
        await world.run(assignment)
        await world.begin(Forget(assignment=assignment))
        world.service.close()
        assert list((world.work / "jobs").iterdir()) == []

    def test_what_does_not_look_like_an_attempt_stays(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        for name in ("notes", "j.a02", "j.a", ".a1"):
            (world.work / "jobs" / name).mkdir(parents=True)
        world.service.recover()
        assert len(list((world.work / "jobs").iterdir())) == 4

    def test_what_cannot_be_removed_is_named_and_the_rest_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        removed = []

        def remove(sandbox: Sandbox) -> None:
            removed.append(sandbox.directory.name)
            raise TransferUnavailable("it is a mount point")

        monkeypatch.setattr(Sandbox, "remove", remove)
        world = World(tmp_path)
        for name in ("a.a1", "b.a1"):
            (world.work / "jobs" / name).mkdir(parents=True)
        assert world.service.recover() == []
        assert sorted(removed) == ["a.a1", "b.a1"]
        assert caplog.text.count("cannot be removed: it is a mount point") == 2

    async def test_what_still_runs_of_it_is_stopped(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        world.assigned("true")
        environment = {"COPILOT_SANDBOX_TOKEN": (world.attempt / "token").read_text()}
        process = await asyncio.create_subprocess_exec("tail", "-f", "/dev/null", env=environment)
        (world.work / "journal" / "notes").unlink()
        await asyncio.to_thread(World(tmp_path).service.recover)
        assert await process.wait() in (-signal.SIGTERM, -signal.SIGKILL)


class TestInputsThatComeWithTheJob:
    def announced(self, contents: bytes, data: str) -> JobInput:
        digest = hashlib.sha256(contents).hexdigest()
        return JobInput(name="in/a", url="https://x", size=len(contents), sha256=digest, data=data)

    def test_they_are_written_if_they_are_what_was_announced(self, tmp_path: Path) -> None:
        item = self.announced(b"text", base64.b64encode(b"text").decode())
        sandbox = Sandbox(tmp_path, "j", 1)
        sandbox.prepare()
        assert _is_written(item, sandbox)
        assert (sandbox.payload / "in/a").read_bytes() == b"text"

    @pytest.mark.parametrize("data", ["", "no base64!", base64.b64encode(b"other").decode()])
    def test_anything_else_is_fetched(self, tmp_path: Path, data: str) -> None:
        item = self.announced(b"text", data)
        sandbox = Sandbox(tmp_path, "j", 1)
        sandbox.prepare()
        assert not _is_written(item, sandbox)
        assert not (sandbox.payload / "in/a").exists()


async def test_an_input_of_many_jobs_is_fetched_once(tmp_path: Path) -> None:
    world = World(tmp_path, input_cache=MEBIBYTE)
    table = world.input("table", "42\n")
    for attempt in (1, 2):
        assignment = world.assigned('cat "$1"', table, arguments="table")
        assignment = replace(assignment, job=replace(assignment.job, attempt=attempt))
        world.service.perform(Remember(note=Note(assignment=assignment)))
        outcome = await world.run(assignment)
        assert outcome.cause is Cause.OK, outcome
        (world.shared / "table").unlink(missing_ok=True)


async def test_what_comes_in_the_same_moment_as_the_job_ends_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    assignment = world.assigned("sleep 600")
    running = asyncio.ensure_future(world.begin(Execute(assignment=assignment)))
    world.service.perform(Stop(assignment=assignment))
    async with asyncio.timeout(PATIENCE_S):
        assert (await running).cause is Cause.CANCELLED


async def test_an_exclusive_job_may_begin_in_the_same_moment(tmp_path: Path) -> None:
    world = World(tmp_path)
    assignment = world.assigned("true", exclusive=True, lease=60.0)
    running = asyncio.ensure_future(world.begin(Execute(assignment=assignment)))
    world.service.perform(Begin(assignment=assignment))
    async with asyncio.timeout(PATIENCE_S):
        assert (await running).cause is Cause.OK


async def test_a_full_disk_gives_up_kept_inputs_before_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, input_cache=MEBIBYTE)
    await world.run(world.assigned("true"))
    assert list((world.work / "inputs").iterdir())
    keep = Journal.keep

    def full(journal: Journal, note: Note, package: bytes | None = None) -> None:
        if list((world.work / "inputs").iterdir()):
            raise OSError(errno.ENOSPC, "No space left on device")
        keep(journal, note, package)

    monkeypatch.setattr(Journal, "keep", full)
    world.assigned("true")
    assert len(world.notes()) == 1


async def test_a_payload_has_its_secrets_while_it_runs_and_nothing_of_them_stays(tmp_path: Path) -> None:
    world = World(tmp_path)
    secrets = (Secret(name="token", data="Y2FuYXJ5"), Secret(name="key.pem", data=""))
    script = 'cd "$COPILOT_SECRETS" && pwd && stat -c %n:%a * && md5sum token'
    assignment = world.assigned(script, secrets=secrets)
    assert (await world.run(assignment)).cause is Cause.OK
    place, *said = world.packed()["j/stdout"].decode().split()
    digest = hashlib.md5(b"canary").hexdigest()
    assert said == ["key.pem:400", "token:400", digest, "token"]
    assert not Path(place).exists()
    assert not Path(place).is_relative_to(world.attempt)
    assert b"canary" not in b"".join(path.read_bytes() for path in world.work.rglob("*") if path.is_file())


async def test_without_secrets_a_payload_hears_of_none(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert (await world.run(world.assigned('[ -z "${COPILOT_SECRETS+x}" ]'))).cause is Cause.OK


async def test_secrets_that_cannot_be_read_are_no_fault_of_the_job(tmp_path: Path) -> None:
    world = World(tmp_path)
    outcome = await world.run(world.assigned("exit 0", secrets=(Secret(name="token", data="canary!"),)))
    assert outcome.cause is Cause.INFRA_LOST
    assert "canary" not in outcome.reason


async def test_a_job_whose_image_cannot_be_had_says_why_and_may_run_elsewhere(tmp_path: Path) -> None:
    world = World(tmp_path)
    outcome = await world.run(world.assigned("exit 0", image="docker://debian:12"))
    assert (outcome.cause, outcome.reason) == (
        Cause.INFRA_FETCH,
        "its container image cannot be had: image docker://debian:12: this agent runs no container images",
    )
    assert world.service.image_fault("docker://debian:12") is not None


async def test_a_name_that_is_no_images_is_the_jobs_own_fault(tmp_path: Path) -> None:
    images = Images(tool=Podman(program="/bin/false"), rules=ImageRules(registries=("docker.io",)))
    world = World(tmp_path, images=images)
    assert world.service.image_fault("docker://a//b") is None  # taken, to end for good
    outcome = await world.run(world.assigned("exit 0", image="docker://a//b"))
    assert outcome.cause is Cause.USER_PREREQUISITE
    outcome = await world.run(world.assigned("exit 0", image="docker://a"))
    assert outcome.cause is Cause.INFRA_FETCH
    assert "could not be fetched" in outcome.reason
