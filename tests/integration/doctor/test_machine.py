"""The doctor and a machine: settings, secrets, disk, programs, sandbox; each broken in just that way."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from copilot.agent.isolation import choosing
from copilot.doctor import openfiles, sandbox
from copilot.doctor.findings import Verdict
from copilot.runtime.secret import load_secrets
from tests.acceptance.running import until
from tests.integration.doctor.setups import PASSWORD, Setup

OK, WARNING = Verdict.OK, Verdict.WARNING


@pytest.fixture(name="setup")
def setup_fixture(tmp_path: Path) -> Setup:
    """A manager and an agent on one machine."""
    setup = Setup(tmp_path)
    for name in ("files", "done", "work"):
        (setup.state / name).mkdir(mode=0o700)
    setup.manager(
        JM_JABBER_SERVER="127.0.0.1",
        JM_JABBER_DOMAIN="copilot.internal",
        JM_JABBER_ID="jm",
        JM_JABBER_PASSWORD=PASSWORD,
        JM_REDIS_SERVER="127.0.0.1",
        JM_FILES_URL="http://127.0.0.1:1",
        JM_FILES_DIR=setup.state / "files",
        JM_DONE_JOB_DIR=setup.state / "done",
        JM_STATE_DIR=setup.state,
    )
    setup.agent(
        JM_JABBER_ADDRESS="jm@copilot.internal",
        AGENT_JABBER_SERVER="127.0.0.1",
        AGENT_JABBER_DOMAIN="copilot.internal",
        AGENT_JABBER_ID="pilot",
        AGENT_JABBER_PASSWORD=PASSWORD,
        AGENT_WORK_DIR=setup.state / "work",
    )
    return setup


async def test_a_good_machine_has_no_fault(setup: Setup) -> None:
    load_secrets(setup.state / "claim.secret", 0.0)
    names = "settings", "installed", "secrets", "disk"
    found = await setup.examined(*names)
    assert {name: found[name].verdict for name in names} == dict.fromkeys(names, OK)


async def test_settings_that_cannot_be_read_or_that_nobody_knows(setup: Setup) -> None:
    setup.manager(JM_LEASSE="60s")
    assert "no component knows this key; did you mean JM_LEASE?" in await setup.fault("settings", WARNING)
    setup.manager(JM_LEASSE="", JM_LEASE="soon")
    (first, *_) = (await setup.examined("settings"))["settings"].findings
    assert (first.verdict, "JM_LEASE: expected" in first.seen) == (Verdict.FAULT, True)


async def test_managers_that_work_on_different_queues(setup: Setup) -> None:
    setup.write(
        "copilot-storagemanager.conf",
        {**setup.files["copilot-jobmanager-generic.conf"], "SM_REDIS_PORT": 6380},
    )
    assert "they work on different queues" in await setup.fault("settings")


async def test_an_agent_that_asks_another_manager(setup: Setup) -> None:
    setup.agent(JM_JABBER_ADDRESS="jm@elsewhere.example")
    assert "agent asks jm@elsewhere.example" in await setup.fault("settings", WARNING)


async def test_one_end_in_secure_mode_and_the_other_not(setup: Setup) -> None:
    setup.agent(AGENT_SECURE_MODE=1)
    assert "AGENT_SECURE_MODE 1" in await setup.fault("settings")
    assert "services.pub" in await setup.fault("secrets")


async def test_a_place_without_settings(setup: Setup) -> None:
    for file in setup.etc.iterdir():
        file.unlink()
    assert "no settings of a program" in await setup.fault("settings")


async def test_secrets_that_others_can_read(setup: Setup) -> None:
    secret = setup.state / "claim.secret"
    load_secrets(secret, 0.0)
    secret.chmod(0o644)
    assert f"{secret}: others can read" in await setup.fault("secrets")
    secret.chmod(0o600)
    file = setup.etc / "copilot-agent.conf"
    file.chmod(0o604)
    assert f"{file}: holds a password" in await setup.fault("secrets")


async def test_directories_that_are_open_or_cannot_be_made(setup: Setup) -> None:
    (setup.state / "files").chmod(0o777)
    assert "can be written by everybody" in await setup.fault("disk")
    (setup.state / "files").chmod(0o700)
    setup.agent(AGENT_WORK_DIR="/proc/copilot")  # nobody can make one there, not even root
    found = [one.seen for one in (await setup.examined("disk"))["disk"].findings]
    assert any("/proc/copilot" in text for text in found)


LOOK = (
    "import sys, pathlib; from copilot.doctor import disk; "
    "[print(one.verdict, one.seen) for one in disk.judge([disk.look(pathlib.Path(sys.argv[1]), 'work', True)])]"
)
SMALL = "noexec,size=4m,nr_inodes=500,mode=0700"


def test_a_file_system_without_programs_and_without_room(tmp_path: Path) -> None:
    script = f'mount -t tmpfs -o {SMALL} none "$1" && exec "$2" -c "$3" "$1"'
    argv = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        str(tmp_path),
        sys.executable,
        LOOK,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0 and "unshare" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr}")
    told = done.stdout.splitlines()
    assert [line.partition(" ")[0] for line in told] == ["fault"] * 3, done
    for line, text in zip(told, ("(noexec): no job can run", "4 MB are free", "(inodes)"), strict=True):
        assert text in line


@pytest.fixture
def few_files() -> Iterator[int]:
    """A program that looks like the file server, and may have few files open."""
    argv = ["bash", "-c", "ulimit -n 200; exec -a /opt/bin/copilot-fileserver sleep 60"]
    with subprocess.Popen(argv) as process:
        until(
            lambda: b"fileserver" in Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")[0],
            "it began",
        )
        yield process.pid
        process.kill()


async def test_a_file_server_that_may_have_few_files_open(setup: Setup, few_files: int) -> None:
    seen = [one.seen for one in (await setup.examined("openfiles"))["openfiles"].findings]
    assert any(f"copilot-fileserver (process {few_files}) may have 200 files open" in text for text in seen)
    assert openfiles.judge([openfiles.Limited(name="x", pid=1, most=5000, wanted=4096)])[0].verdict is OK


async def test_no_sandbox(setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As bubblewrap ends where the kernel forbids user namespaces."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "bwrap").write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
    )
    (programs / "bwrap").chmod(0o755)
    for path in (tmp_path, programs):
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("AGENT_SANDBOX", "auto")
    assert "No permissions" in await setup.fault("sandbox", WARNING)
    monkeypatch.setenv("AGENT_SANDBOX", "bubblewrap")
    assert "the agent does not start" in await setup.fault("sandbox")
    monkeypatch.setattr(choosing, "_PATH", "")
    monkeypatch.setenv("PATH", "/nowhere")
    assert "install bubblewrap" in await setup.fault("sandbox")
    monkeypatch.setenv("AGENT_SANDBOX", "none")
    assert "payloads see all" in await setup.fault("sandbox", WARNING)


def test_what_the_kernel_forbids_is_named(tmp_path: Path) -> None:
    for name, value, cure in sandbox.FORBIDDING:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
        assert cure in sandbox.forbidden(tmp_path)
        file.write_text("7\n")
    assert sandbox.forbidden(tmp_path) == ()


async def test_a_tool_for_images_that_is_named_and_not_there(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "_PATH", "")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("AGENT_IMAGES", "apptainer")
    assert "apptainer is not installed" in await setup.fault("images")
    monkeypatch.setenv("AGENT_IMAGES", "auto")
    assert (await setup.examined("images"))["images"].verdict is OK
