"""What a payload sees and reaches through a real sandbox, and that all else about a job is as without one.

Run as root, it is root's agent whose payloads get another user; run as an ordinary user, it is that user's.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from copilot.agent.capacity import Share
from copilot.agent.isolation.base import Isolation
from copilot.agent.isolation.choosing import SandboxContext, choose
from copilot.agent.processes import become_subreaper
from copilot.agent.sandbox import Sandbox
from copilot.agent.vault import Vault
from copilot.job import Cause, InputFile, JobSpec, Outcome
from copilot.local.provision import find
from tests.missing import missing

pytestmark = pytest.mark.usefixtures("_subreaper")


@pytest.fixture
def _subreaper() -> None:
    become_subreaper()


@pytest.fixture
def isolation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Isolation:
    found = find("bwrap")
    if found is None:
        missing("bubblewrap is not installed: make servers")
    monkeypatch.setenv("PATH", f"{found.program.parent}:{os.environ['PATH']}")
    (tmp_path / "secret").write_text("of the agent")
    return choose("bubblewrap", SandboxContext(work_dir=tmp_path))


class Payload:
    """One attempt, in a sandbox."""

    def __init__(self, work_dir: Path, isolation: Isolation, job: str = "job") -> None:
        self.sandbox = Sandbox(work_dir, job, 1, isolation=isolation, package_tool=("/bin/false",))
        self.sandbox.prepare()

    def stage(self, name: str, text: str) -> InputFile:
        self.sandbox.input_path(name).write_text(text)
        return InputFile(name=name, size=len(text), sha256=hashlib.sha256(text.encode()).hexdigest())

    async def run(self, text: str, *, limit: float = 60.0, **fields: object) -> Outcome:
        script = self.stage("job.sh", text)
        spec = JobSpec(id="job", command="job.sh", inputs=(script,), **fields)  # type: ignore[arg-type]
        return await self.sandbox.run(spec, limit)

    @property
    def said(self) -> str:
        return self.sandbox.stdout.read_text()


@pytest.fixture
def payload(tmp_path: Path, isolation: Isolation) -> Iterator[Payload]:
    made = Payload(tmp_path, isolation)
    yield made
    made.sandbox.remove()
    with suppress(FileNotFoundError):
        assert not [path for path in (tmp_path / "jobs").iterdir() if path.name.startswith(".trial")]


async def test_it_writes_where_it_should_and_nowhere_else(payload: Payload) -> None:
    script = "echo 1 >here && echo 2 >$TMPDIR/there && echo 3 >/tmp/x && echo 4 >/dev/shm/x || exit 3\n"
    others = "for place in / /dev /usr /etc /job /proc /sys; do { echo bad >$place/x; } 2>/dev/null && exit 4; done\n"
    outcome = await payload.run(f"#!/bin/sh\n{script}{others}exit 0")
    assert outcome.cause is Cause.OK, (outcome, payload.said)
    assert (payload.sandbox.payload / "here").read_text() == "1\n"


async def test_of_the_agent_it_sees_nothing(payload: Payload, tmp_path: Path) -> None:
    outcome = await payload.run(
        f"#!/bin/sh\ncat {tmp_path}/secret && exit 3\nls {tmp_path} {payload.sandbox.directory} && exit 4\n"
        f"[ -e /proc/{os.getpid()}/stat ] && [ $(ls -d /proc/[0-9]* | wc -l) -gt 9 ] && exit 5\n"
        f"kill -0 {os.getpid()} 2>/dev/null && [ {os.getpid()} -gt 50 ] && exit 6\nls /proc/self/fd | wc -l; exit 0"
    )
    assert outcome.cause is Cause.OK, outcome
    assert int(payload.said.split()[-1]) <= 4  # stdin, stdout, stderr, and what lists them


async def test_it_has_no_rights_and_gets_none(payload: Payload) -> None:
    await payload.run("#!/bin/sh\ngrep -E '^(Cap...|NoNewPrivs):' /proc/self/status; id -u")
    *lines, user = payload.said.split("\n")[:-1]
    assert {line.split()[1] for line in lines[:5]} == {"0" * 16}
    assert lines[5].split() == ["NoNewPrivs:", "1"]
    assert int(user) != 0


@pytest.mark.parametrize(
    ("text", "cause", "code"),
    [
        ("exit 0", Cause.OK, 0),
        ("exit 3", Cause.USER_EXIT, 3),
        ("exit 139", Cause.USER_EXIT, 139),
        ("kill -SEGV $$", Cause.USER_SIGNAL, 139),
        ("kill -XCPU $$", Cause.USER_SIGNAL, 128 + signal.SIGXCPU),
        ("exit 137", Cause.USER_EXIT, 137),
        ("kill -KILL $$", Cause.INFRA_KILLED, 137),
        ("kill -KILL 0", Cause.INFRA_KILLED, 137),
        ("kill -KILL -1; exit 0", Cause.OK, 0),
    ],
)
async def test_its_end_is_told_as_it_was(payload: Payload, text: str, cause: Cause, code: int) -> None:
    outcome = await payload.run(f"#!/bin/sh\n{text}")
    assert (outcome.cause, outcome.exit_code) == (cause, code)


async def test_a_command_that_cannot_begin_is_told_as_without_a_sandbox(payload: Payload) -> None:
    assert (await payload.run("#!/not/there")).cause is Cause.USER_NO_COMMAND
    outcome = await payload.sandbox.run(JobSpec(id="job", command="none.sh"), 60)
    assert (outcome.cause, outcome.exit_code) == (Cause.USER_NO_COMMAND, 127)


async def test_texts_for_a_shell_and_scripts_without_a_first_line_work(payload: Payload) -> None:
    outcome = await payload.run('echo "$1 $MINE"', arguments="'a b'", environment="export MINE='c  d'")
    assert (outcome.cause, payload.said) == (Cause.OK, "a b c  d\n")


async def test_it_gets_time_to_tidy_up_and_then_no_more(payload: Payload) -> None:
    outcome = await payload.run("#!/bin/sh\ntrap 'echo tidy; exit 0' TERM\nsleep 60 & wait", limit=1.0)
    assert (outcome.cause, payload.said) == (Cause.POLICY_RUN_TIME, "tidy\n")


async def test_nothing_outlives_it(payload: Payload, tmp_path: Path) -> None:
    outcome = await payload.run(
        "#!/bin/sh\nmkfifo gate; env -i setsid sh -c '(sh -c \"echo up >gate; exec sleep 3600\" &)' & read up <gate"
    )
    assert outcome.cause is Cause.OK
    assert not running_in(payload.sandbox.payload)


async def test_the_validation_script_reads_the_output_and_cannot_change_it(payload: Payload) -> None:
    check = payload.stage(
        "check.sh",
        '#!/bin/sh\n[ "$(cat $COPILOT_STDOUT)" = good ] && ! echo bad 2>/dev/null >$COPILOT_STDOUT',
    )
    outcome = await payload.run("#!/bin/sh\necho good", validation="check.sh")
    assert outcome.cause is Cause.OK
    spec = JobSpec(id="job", command="job.sh", inputs=(check,), validation="check.sh")
    assert await payload.sandbox.validate(spec) == 0, payload.sandbox.validation_out.read_text()


def running_in(directory: Path) -> list[str]:
    """Command lines of processes whose working directory is below this one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(directory) or b"3600" in (
                process / "cmdline"
            ).read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text())
    return found


async def test_it_sees_its_own_secrets_and_nobody_elses(payload: Payload, tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    account = payload.sandbox.isolation.account
    other = vault.lay("other.a1", {"token": b"of another"}, account)
    payload.sandbox.secrets = vault.lay("job.a1", {"token": b"canary"}, account)
    try:
        outcome = await payload.run(
            f'#!/bin/sh\n[ -e {other} ] && exit 3\n{{ echo x >"$COPILOT_SECRETS/token"; }} 2>/dev/null && exit 4\n'
            'ls "$COPILOT_SECRETS"; cat "$COPILOT_SECRETS/token"'
        )
    finally:
        vault.clear()
    assert (outcome.cause, payload.said) == (Cause.OK, "token\ncanary")


async def test_its_output_files_can_be_opened_again(payload: Payload) -> None:
    outcome = await payload.run(
        "#!/bin/sh\necho out >>/proc/self/fd/1 && echo err | tee -a /dev/stderr >/dev/null"
    )
    assert outcome.cause is Cause.OK, outcome
    assert (payload.said, payload.sandbox.stderr.read_text()) == ("out\n", "err\n")


async def test_it_cannot_take_back_that_it_has_begun(payload: Payload) -> None:
    text = "echo run >>$HOME/runs; for n in 0 1 2; do printf '\\0\\0\\0\\0\\0\\0\\0\\0' 1<>/proc/1/fd/$n; done; exit 125"
    outcome = await payload.run(f"#!/bin/sh\n{text}")
    assert (outcome.cause, outcome.exit_code) == (Cause.USER_EXIT, 125)
    assert (payload.sandbox.payload / "runs").read_text() == "run\n"


async def test_what_more_there_is_to_read_can_be_read(payload: Payload) -> None:
    """Root's agent makes the directories above, and its payloads are another user's."""
    places = [path for path in ("/sys/devices/system/cpu", "/run/systemd/resolve") if Path(path).exists()]
    outcome = await payload.run(f"#!/bin/sh\nls {' '.join(places)}")
    assert outcome.cause is Cause.OK, outcome


async def test_what_is_hidden_is_hidden_behind_a_symlink_too(tmp_path: Path, isolation: Isolation) -> None:
    del isolation  # it has found bwrap
    real = tmp_path / "data/real"
    real.mkdir(parents=True)
    (real / "key").write_text("of the agent")
    (real / "open").write_text("for all")
    (tmp_path / "link").symlink_to(real)
    context = SandboxContext(
        work_dir=tmp_path / "work", hidden=(real / "key",), shown=(str(tmp_path / "link"),)
    )
    made = Payload(context.work_dir, choose("bubblewrap", context))
    try:
        await made.run(f"#!/bin/sh\ncat {tmp_path}/link/open {tmp_path}/link/key {real}/key")
        assert made.said == "for all", made.sandbox.stderr.read_text()
    finally:
        made.sandbox.remove()


async def test_it_sees_the_devices_of_its_own_gpus_alone(
    payload: Payload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that sandboxes do not have otherwise stands for that of a GPU."""
    device = next(path for path in map(Path, ("/dev/autofs", "/dev/fuse", "/dev/kmsg")) if path.exists())
    monkeypatch.setattr("copilot.agent.sandbox.devices_of", lambda gpus: (device,) if gpus else ())
    script = f'#!/bin/sh\necho "$CUDA_VISIBLE_DEVICES"\n[ -c {device} ] && echo there\n>/dev/x || echo closed'
    payload.sandbox.share = Share(gpus=())
    await payload.run(script)
    payload.sandbox.share = Share(gpus=("2",))
    await payload.run(script)
    assert payload.said == "\nclosed\n2\nthere\nclosed\n"
