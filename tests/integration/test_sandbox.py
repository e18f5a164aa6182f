"""Whole attempts in the sandbox: whatever a payload does ends in a truthful outcome and a package."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import resource
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from copilot.agent.capacity import Share
from copilot.agent.processes import become_subreaper
from copilot.agent.sandbox import Package, Sandbox
from copilot.errors import NoSpace, TransferRefused
from copilot.files.unpack import Limits, extract
from copilot.job import Cause, InputFile, JobSpec, Outcome
from tests.patience import PATIENCE_S

MEBIBYTE = 1024 * 1024
PACKAGE_LIMIT = 64 * MEBIBYTE


@pytest.fixture(autouse=True)
def _subreaper() -> None:
    become_subreaper()


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return prepared(tmp_path)


def prepared(work_dir: Path, **options: object) -> Sandbox:
    """As the service does it: one `Sandbox` prepares the attempt, another one runs it."""
    Sandbox(work_dir, "job", 1).prepare()
    return Sandbox(work_dir, "job", 1, **options)  # type: ignore[arg-type]


def stage(sandbox: Sandbox, name: str, text: str) -> InputFile:
    """Write an input file as a file client does: without permission to execute."""
    sandbox.input_path(name).write_text(text)
    return InputFile(name=name, size=len(text), sha256=hashlib.sha256(text.encode()).hexdigest())


async def run_script(sandbox: Sandbox, text: str, *, limit: float | None = 60, **fields: object) -> Outcome:
    """Run a job whose command is a shell script with this text."""
    script = stage(sandbox, "job.sh", f"#!/bin/sh\n{text}\n")
    return await sandbox.run(JobSpec(id="job", command="job.sh", inputs=(script,), **fields), limit)  # type: ignore[arg-type]


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


async def packed_names(sandbox: Sandbox) -> list[str]:
    package = await sandbox.pack(PACKAGE_LIMIT)
    with tarfile.open(fileobj=io.BytesIO(contents(sandbox, package))) as archive:
        return archive.getnames()


def contents(sandbox: Sandbox, package: Package) -> bytes:
    """Of the package, wherever it is."""
    return sandbox.package.read_bytes() if package.data is None else package.data


async def test_a_job_runs_in_its_own_directory_and_its_output_is_packed(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    table = stage(sandbox, "data/table.txt", "42\n")
    script = stage(sandbox, "bin/job.sh", '#!/bin/sh\ncat data/table.txt "$@"\npwd\necho warning >&2\n')
    stage(sandbox, "more.txt", "more\n")
    spec = JobSpec(id="job", command="bin/job.sh", arguments="'more.txt'", inputs=(table, script))
    outcome = await sandbox.run(spec, 60)
    assert without_use(outcome) == Outcome(cause=Cause.OK, exit_code=0, tail="warning")
    package = await sandbox.pack(PACKAGE_LIMIT)
    data = contents(sandbox, package)
    assert package.facts.size == len(data)
    assert package.facts.sha256 == hashlib.sha256(data).hexdigest()
    assert package.notes == ()
    (tmp_path / "there").mkdir()
    (tmp_path / "job.tgz").write_bytes(data)
    extract(tmp_path / "job.tgz", tmp_path / "there", Limits(size=MEBIBYTE))
    assert (tmp_path / "there/job/stdout").read_text() == f"42\nmore\n{sandbox.payload}\n"
    assert (tmp_path / "there/job/stderr").read_text() == "warning\n"


async def test_unchanged_inputs_are_left_out_of_the_package_and_changed_ones_are_in(sandbox: Sandbox) -> None:
    kept, changed = stage(sandbox, "kept", "same"), stage(sandbox, "changed", "old!")
    script = stage(sandbox, "job.sh", "#!/bin/sh\nprintf new! >changed; mkdir out; echo 1 >out/result")
    await sandbox.run(JobSpec(id="job", command="job.sh", inputs=(kept, changed, script)), None)
    assert await packed_names(sandbox) == [
        "job/stdout",
        "job/stderr",
        "job/changed",
        "job/out",
        "job/out/result",
    ]


async def test_the_payload_sees_only_what_it_needs(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_JABBER_PASSWORD", "secret")
    await run_script(sandbox, "env", environment="export MINE='a b'")
    variables = dict(line.partition("=")[::2] for line in sandbox.stdout.read_text().splitlines())
    assert variables["HOME"] == str(sandbox.payload)
    assert Path(variables["TMPDIR"]).parent == sandbox.directory
    assert (variables["COPILOT_JOB_ID"], variables["COPILOT_ATTEMPT"], variables["COPILOT_CORES"]) == (
        "job",
        "1",
        "1",
    )
    assert variables["MINE"] == "a b"
    known = {"HOME", "TMPDIR", "PATH", "LANG", "TZ", "MINE", "PWD", "OLDPWD", "SHLVL", "_", "OMP_NUM_THREADS"}
    assert {name for name in variables if not name.startswith("COPILOT_")} <= known


async def test_a_non_zero_exit_is_told_with_the_last_line_of_stderr(sandbox: Sandbox) -> None:
    outcome = await run_script(sandbox, r"echo first >&2; printf 'oh\033[31m no\n\n' >&2; exit 3")
    assert without_use(outcome) == Outcome(
        cause=Cause.USER_EXIT,
        exit_code=3,
        reason=r"exit code 3; last line of stderr: oh\x1b[31m no",
        tail="first\noh\x1b[31m no",
    )


async def test_exit_by_signal_is_told_with_its_name(sandbox: Sandbox) -> None:
    outcome = await run_script(sandbox, "kill -SEGV $$")
    assert (outcome.cause, outcome.exit_code, outcome.reason) == (
        Cause.USER_SIGNAL,
        139,
        "signal 11 (SIGSEGV)",
    )


async def test_sigkill_from_outside_is_no_fault_of_the_user(sandbox: Sandbox) -> None:
    outcome = await run_script(sandbox, "kill -KILL $$")
    assert (outcome.cause, outcome.exit_code) == (Cause.INFRA_KILLED, 137)


async def test_a_job_that_runs_too_long_is_stopped(sandbox: Sandbox) -> None:
    outcome = await run_script(sandbox, "sleep 600", limit=0.2)
    assert (outcome.cause, outcome.exit_code) == (Cause.POLICY_RUN_TIME, 143)


@pytest.mark.parametrize("shell", ["bash", "dash"])
@pytest.mark.parametrize(
    ("make", "code"),
    [
        ("", 127),
        ("mkdir {0}", 126),
        ("printf '#!/no/such/interpreter\\n' >{0}", None),
        ("printf '\\177ELF-but-not-really' >{0}", 126),
    ],
)
async def test_a_command_that_cannot_be_started_is_told(
    sandbox: Sandbox, make: str, code: int | None, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_shell(shell, monkeypatch)
    subprocess.run(["sh", "-c", make.format(sandbox.payload / "command")], check=True)
    outcome = await sandbox.run(JobSpec(id="job", command="command"), 60)
    assert outcome.cause is Cause.USER_NO_COMMAND
    assert outcome.exit_code in ([code] if code else [126, 127])
    assert "command is missing or cannot be executed" in outcome.reason


@pytest.mark.parametrize("shell", ["bash", "dash"])
async def test_exit_code_127_of_the_payload_itself_is_the_payloads(
    sandbox: Sandbox, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_shell(shell, monkeypatch)
    outcome = await run_script(sandbox, "no-such-program-anywhere")
    assert (outcome.cause, outcome.exit_code) == (Cause.USER_EXIT, 127)
    assert "no-such-program-anywhere" in outcome.reason


def use_shell(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sandbox find only this shell."""
    if (path := shutil.which(name)) is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.setattr("copilot.agent.sandbox.shutil.which", lambda _: path)


@pytest.mark.parametrize("shell", ["bash", "dash"])
@pytest.mark.parametrize("environment", ["export A='unfinished", "export A=(", "if true; then", "exit 0"])
async def test_a_broken_environment_text_does_not_swallow_the_command(
    sandbox: Sandbox, environment: str, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_shell(shell, monkeypatch)
    outcome = await run_script(sandbox, "echo ran", environment=environment)
    assert (outcome.cause, outcome.exit_code) == (Cause.USER_EXIT, 125)
    assert "environment text is no valid shell text, or ended the shell" in outcome.reason
    assert sandbox.stdout.read_text() == ""


@pytest.mark.parametrize("shell", ["bash", "dash"])
async def test_broken_arguments_are_told(
    sandbox: Sandbox, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_shell(shell, monkeypatch)
    outcome = await run_script(sandbox, "echo ran", arguments="a 'b")
    assert (outcome.cause, outcome.exit_code) == (Cause.USER_EXIT, 125)
    assert "arguments text" in outcome.reason


@pytest.mark.parametrize("shell", ["bash", "dash"])
async def test_arguments_are_shell_words_and_the_environment_may_fail_or_wander(
    sandbox: Sandbox, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_shell(shell, monkeypatch)
    outcome = await run_script(
        sandbox,
        'printf "<%s>" "$@"',
        environment="A=x\ncd /\nset -eu",
        arguments=r"one 'two  three' \"$A\" # no more",
    )
    assert outcome.cause is Cause.OK
    assert sandbox.stdout.read_text() == '<one><two  three><"x">'


@pytest.mark.parametrize("shell", ["bash", "dash"])
async def test_packages_are_set_up_by_the_tool(
    tmp_path: Path, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_shell(shell, monkeypatch)
    tool = tmp_path / "a tool"
    tool.write_text('#!/bin/sh\necho "export PACKAGES=\\"\\${PACKAGES}$1=$2,\\""\n')
    tool.chmod(0o700)
    sandbox = prepared(tmp_path, package_tool=(str(tool), "print"))
    packages = ("VO_ALICE@AliRoot::v5-03", "ROOT/5.34", "gcc")
    outcome = await run_script(sandbox, 'echo "$PACKAGES"', packages=packages)
    assert outcome.cause is Cause.OK, outcome
    assert sandbox.stdout.read_text() == "print=AliRoot/v5-03,print=ROOT/5.34,print=gcc,\n"


@pytest.mark.parametrize(
    ("tool", "package", "text"),
    [
        (("false",), "ROOT", "package ROOT cannot be set up"),
        (("/no/such/tool",), "ROOT/6", "package ROOT/6 cannot be set up"),
        (("echo", "export A='"), "ROOT", "package ROOT cannot be set up"),
        (("echo", "test 0 = 1; #"), "ROOT", "package ROOT cannot be set up"),
        (("true",), "$(touch /tmp/x)", "expected Name"),
        ((), "ROOT", "no AGENT_PACKAGE_TOOL"),
    ],
)
async def test_a_package_that_cannot_be_set_up_is_told(
    tmp_path: Path, tool: tuple[str, ...], package: str, text: str
) -> None:
    sandbox = prepared(tmp_path, package_tool=tool)
    outcome = await run_script(sandbox, "echo ran", packages=(package,))
    assert (outcome.cause, outcome.exit_code) == (Cause.USER_PREREQUISITE, 125)
    assert text in outcome.reason
    assert not sandbox.stdout.exists() or sandbox.stdout.read_text() == ""


async def test_children_left_behind_are_stopped_and_told(sandbox: Sandbox) -> None:
    outcome = await run_script(sandbox, "sleep 600 & setsid sleep 600 & echo done")
    assert without_use(outcome) == Outcome(
        cause=Cause.OK, exit_code=0, reason="2 processes left behind, stopped"
    )


async def test_attempts_at_the_same_time_do_not_touch_each_other(tmp_path: Path) -> None:
    first, second = prepared(tmp_path / "1"), prepared(tmp_path / "2")
    waits = "mkfifo go; (setsid cat go &); until [ -e over ]; do sleep 0.05; done; echo x >go"
    waiting = asyncio.create_task(run_script(first, waits))
    outcome = await run_script(second, "setsid sleep 600 &")
    assert outcome.reason == "1 process left behind, stopped"
    (first.payload / "over").touch()
    assert (await waiting).cause is Cause.OK


async def test_an_attempt_that_was_never_prepared_is_not_run(tmp_path: Path) -> None:
    with pytest.raises(TransferRefused, match="check that the path exists"):
        await Sandbox(tmp_path, "job", 1).run(JobSpec(id="job", command="job.sh"), 60)


async def test_output_of_one_gibibyte_goes_through_the_disk_not_the_memory(sandbox: Sandbox) -> None:
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    outcome = await run_script(sandbox, "head -c 1G /dev/zero")
    assert outcome.cause is Cause.OK
    assert sandbox.stdout.stat().st_size == 1024 * MEBIBYTE
    package = await sandbox.pack(PACKAGE_LIMIT)
    assert package.facts.size < 16 * MEBIBYTE
    assert time.monotonic() - begun < 100
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024  # kB


async def test_a_package_over_the_limit_is_refused_and_leaves_nothing(sandbox: Sandbox) -> None:
    await run_script(sandbox, "head -c 3000000 /dev/urandom")
    with pytest.raises(TransferRefused, match="larger than 1048576 bytes"):
        await sandbox.pack(MEBIBYTE)
    assert not sandbox.package.exists()
    assert not list(sandbox.directory.glob(".copilot-*"))


@pytest.mark.parametrize(
    ("script", "code", "validation_code"),
    [("exit 0", 0, 0), ('grep -q good "$COPILOT_STDOUT"', 0, 0), ("echo bad; exit 9", 0, 9)],
)
async def test_the_validation_script_runs_after_the_job(
    sandbox: Sandbox, script: str, code: int, validation_code: int
) -> None:
    check = stage(sandbox, "check.sh", f"#!/bin/sh\n{script}\n")
    job = stage(sandbox, "job.sh", "#!/bin/sh\necho good\n")
    spec = JobSpec(id="job", command="job.sh", validation="check.sh", inputs=(check, job))
    assert (await sandbox.run(spec, 60)).exit_code == code
    assert await sandbox.validate(spec) == validation_code
    assert await packed_names(sandbox) == ["job/stdout", "job/stderr", "job/validation.out"]
    assert sandbox.validation_out.read_text() == ("bad\n" if validation_code else "")


async def test_a_missing_validation_script_does_not_validate(sandbox: Sandbox) -> None:
    await run_script(sandbox, "true")
    assert await sandbox.validate(JobSpec(id="job", command="job.sh", validation="check.sh")) == 127


async def test_a_payload_that_destroys_its_sandbox_still_ends_in_a_report(sandbox: Sandbox) -> None:
    outcome = await run_script(sandbox, "rm -rf ../wrapper ../token ../stdout; mkfifo ../stdout; exit 4")
    assert (outcome.cause, outcome.exit_code) == (Cause.USER_EXIT, 4)
    assert await sandbox.validate(JobSpec(id="job", command="job.sh", validation="job.sh")) == 4
    package = await sandbox.pack(PACKAGE_LIMIT)
    assert any("stdout" in note for note in package.notes)
    sandbox.remove()
    assert not sandbox.directory.exists()


async def test_what_an_interrupted_attempt_left_is_stopped_and_packed(tmp_path: Path) -> None:
    first = prepared(tmp_path)
    with subprocess.Popen(
        ["sleep", "600"], env={"COPILOT_SANDBOX_TOKEN": (first.directory / "token").read_text()}
    ) as left:
        (first.payload / "partial").write_text("half")
        first.stdout.write_text("so far\n")
        after_restart = Sandbox(tmp_path, "job", 1)
        assert await packed_names(after_restart) == ["job/stdout", "job/partial"]
        assert left.wait(PATIENCE_S) == -15 or left.returncode == -9


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size=4m,mode=0700,uid={os.getuid()}", "tmpfs", str(path)]
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    try:
        subprocess.run([*sudo, *mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a file system of its own needs root, or sudo without a password")
    yield path
    subprocess.run([*sudo, "umount", path], check=True)


async def test_a_full_disk_is_no_fault_of_the_user(small_disk: Path) -> None:
    sandbox = prepared(small_disk)
    outcome = await run_script(sandbox, "head -c 16M /dev/urandom >big")
    assert outcome.cause is Cause.INFRA_DISK_FULL
    assert outcome.exit_code == 1
    with pytest.raises(NoSpace, match="free space"):
        await sandbox.pack(PACKAGE_LIMIT)


async def test_a_disk_that_is_full_before_the_start_is_told(small_disk: Path) -> None:
    sandbox = prepared(small_disk)
    script = stage(sandbox, "job.sh", "#!/bin/sh\ntrue\n")
    with suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    outcome = await sandbox.run(JobSpec(id="job", command="job.sh", inputs=(script,)), 60)
    assert outcome.cause is Cause.INFRA_DISK_FULL


async def test_a_script_without_a_first_line_is_run_by_a_shell(sandbox: Sandbox) -> None:
    script = stage(sandbox, "job.sh", 'echo "$1"; exit 3\n')
    spec = JobSpec(id="job", command="job.sh", arguments="one two", inputs=(script,))
    assert (await sandbox.run(spec, 60)).exit_code == 3
    assert sandbox.stdout.read_text() == "one\n"


@pytest.mark.parametrize("text", ["", "export A=1"])
async def test_core_files_are_off_and_the_kernel_would_choose_the_job_first(
    sandbox: Sandbox, text: str
) -> None:
    said = "until [ $(cat /proc/$$/oom_score_adj) = 500 ]; do :; done; ulimit -S -c"
    assert (await run_script(sandbox, said, environment=text)).cause is Cause.OK
    assert sandbox.stdout.read_text() == "0\n"


async def test_the_payload_gets_its_share_of_the_agent(sandbox: Sandbox) -> None:
    """It is told how many cores it has, is bound to them, and sees its own GPUs; what it sets itself counts."""
    mine = min(os.sched_getaffinity(0))
    own = os.sched_getaffinity(0)
    sandbox.share = Share(cores=3, cpus=(mine,), gpus=("0", "2"))
    words = '"$COPILOT_CORES $OMP_NUM_THREADS $CUDA_VISIBLE_DEVICES $ROCR_VISIBLE_DEVICES"'
    await run_script(sandbox, f"echo {words}; grep Cpus_allowed_list /proc/self/status")
    await run_script(sandbox, f"echo {words}", environment="export OMP_NUM_THREADS=7")
    said = sandbox.stdout.read_text().splitlines()
    assert said == ["3 3 0,2 0,2", f"Cpus_allowed_list:\t{mine}", "3 7 0,2 0,2"]
    assert os.sched_getaffinity(0) == own
