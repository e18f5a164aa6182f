"""Jobs in a container image, by the real podman: what a payload sees and reaches, and that all else is as without an image.

The image is made here, of busybox. Run as root, payloads get another user.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from copilot.agent.isolation.base import NoIsolation, ToolWish
from copilot.agent.isolation.choosing import SandboxContext
from copilot.agent.isolation.image import NoImage
from copilot.agent.isolation.images import ImageRules, Images, choose_images
from copilot.agent.limits.keeping import Keeping, LimitsWish, keep
from copilot.agent.processes import become_subreaper
from copilot.agent.sandbox import Sandbox
from copilot.agent.vault import Vault
from copilot.job import Cause, InputFile, JobSpec, Limits, Outcome

IMAGE = "docker://localhost/copilot-test:1"
NO_SHELL = "docker://localhost/copilot-test-empty:1"
APPLETS = (
    "sh",
    "cat",
    "echo",
    "env",
    "grep",
    "id",
    "kill",
    "ls",
    "mkdir",
    "ps",
    "sleep",
    "wc",
    "dd",
    "ip",
    "head",
)
# Where control groups of both versions are mounted, crun 1.8 starts nothing: it is shown one of them.
WRAPPER = """#!/bin/sh
if grep -q ' /sys/fs/cgroup/unified cgroup2 ' /proc/mounts; then
    exec unshare --mount sh -c 'umount /sys/fs/cgroup/unified; exec "$@"' sh {podman} "$@"
fi
exec {podman} "$@"
"""


@pytest.fixture(scope="module")
def images() -> Iterator[Images]:
    podman, busybox = shutil.which("podman"), shutil.which("busybox")
    if podman is None or busybox is None:
        pytest.skip("podman or busybox is not installed")
    # Not pytest's directory: what cleans up after a container refuses a runroot of more than 50 characters, and podman then
    # waits 20 s for it.
    with tempfile.TemporaryDirectory(prefix="podman-", dir="/tmp", ignore_cleanup_errors=True) as place:
        yield from _images(Path(place), podman, busybox)


def _images(root: Path, podman: str, busybox: str) -> Iterator[Images]:
    tool = root / "podman"
    tool.write_text(WRAPPER.format(podman=podman))
    tool.chmod(0o755)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", f"{root}:{os.environ['PATH']}")
        patched.setenv("CONTAINERS_STORAGE_CONF", str(_storage(root)))
        try:
            chosen = choose_images(ToolWish.PODMAN, SandboxContext(work_dir=root / "work"), ImageRules())
        except NoIsolation as error:
            pytest.skip(str(error))
        assert chosen is not None
        _make(root / "image.tar", busybox, IMAGE)
        _make(root / "empty.tar", None, NO_SHELL)
        become_subreaper()
        yield chosen


def _storage(root: Path) -> Path:
    file = root / "storage.conf"
    file.write_text(f'[storage]\ndriver = "vfs"\nrunroot = "{root}/run"\ngraphroot = "{root}/images"\n')
    return file


def _make(file: Path, busybox: str | None, name: str) -> None:
    with tarfile.open(file, "w") as tar:
        if busybox is not None:
            tar.add(busybox, "bin/busybox")
            for applet in APPLETS:
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        place = tarfile.TarInfo("of-the-image")
        place.type, place.mode = tarfile.DIRTYPE, 0o777
        tar.addfile(place)
    command = ("podman", "import", "--change", "ENV=OF_IMAGE=yes", file, name.removeprefix("docker://"))
    subprocess.run(command, capture_output=True, check=True)


@dataclass
class Payload:
    """One attempt, in an image."""

    sandbox: Sandbox

    async def run(self, text: str, *, limit: float = 60.0, image: str = IMAGE, **fields: object) -> Outcome:
        data = f"#!/bin/sh\n{text}\n".encode()
        self.sandbox.write_input("job.sh", data)
        script = InputFile(name="job.sh", size=len(data), sha256=hashlib.sha256(data).hexdigest())
        spec = JobSpec(id="job", command="job.sh", inputs=(script,), image=image, **fields)  # type: ignore[arg-type]
        return await self.sandbox.run(spec, limit)

    @property
    def said(self) -> str:
        return self.sandbox.stdout.read_text()

    @property
    def complained(self) -> str:
        return self.sandbox.stderr.read_text()


@pytest.fixture(params=[LimitsWish.AUTO, LimitsWish.WATCH])
def keeping(request: pytest.FixtureRequest) -> Iterator[Keeping]:
    made = keep(request.param, Limits(), None)
    if request.param is LimitsWish.AUTO and made.tree is None:
        pytest.skip("no control groups here")
    yield made
    made.close()


async def prepared(images: Images, work_dir: Path, keeping: Keeping, image: str = IMAGE) -> Payload:
    isolation = await images.isolation(image)
    sandbox = Sandbox(work_dir, "job", 1, isolation=isolation, keeping=keeping)
    sandbox.prepare()
    return Payload(sandbox)


async def test_it_sees_the_image_and_its_own_and_nothing_else(
    images: Images, tmp_path: Path, keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_JABBER_PASSWORD", "canary")
    payload = await prepared(images, tmp_path, keeping)
    vault = Vault(tmp_path)
    payload.sandbox.secrets = vault.lay("job.a1", {"token": b"a secret"}, payload.sandbox.isolation.account)
    outcome = await payload.run(
        "echo 1 >here && echo 2 >$TMPDIR/there && echo 3 >/tmp/x && echo 4 >/dev/shm/x || exit 3\n"
        f"for place in / /dev /of-the-image /job /proc /sys; do {{ echo bad >$place/x; }} 2>/dev/null && exit 4; done\n"
        f"ls {tmp_path} && exit 5\ncat $COPILOT_SECRETS/token\n{{ echo x >$COPILOT_SECRETS/token; }} 2>/dev/null && exit 6\n"
        "env | grep -i -e canary -e password && exit 7\nip -o link | grep -v LOOPBACK | grep UP && exit 8\n"
        '[ $(ls -d /proc/[0-9]* | wc -l) -gt 6 ] && exit 9\necho " $PWD $HOME $OF_IMAGE"\n'
        "grep -E '^(Cap...|NoNewPrivs):' /proc/self/status; id -u; exit 0"
    )
    vault.clear()
    assert outcome.cause is Cause.OK, (outcome, payload.said, payload.complained)
    assert outcome.sandbox == f"podman+net, {keeping.level}"
    assert (payload.sandbox.payload / "here").read_text() == "1\n"
    secret, *lines, user = payload.said.split("\n")[:-1]
    assert secret == "a secret /job/payload /job/payload yes"
    assert [line.split()[1] for line in lines] == ["0" * 16] * 5 + ["1"]
    assert int(user) == (
        0 if payload.sandbox.isolation.account is None else payload.sandbox.isolation.account.uid
    )
    payload.sandbox.remove()


@pytest.mark.parametrize(
    ("text", "cause", "code"),
    [
        ("exit 3", Cause.USER_EXIT, 3),
        ("exit 137", Cause.USER_EXIT, 137),
        ("kill -SEGV $$", Cause.USER_SIGNAL, 139),
        ("kill -KILL $$", Cause.INFRA_KILLED, 137),
    ],
)
async def test_its_end_is_told_as_it_was(
    images: Images, tmp_path: Path, text: str, cause: Cause, code: int
) -> None:
    payload = await prepared(images, tmp_path, Keeping())
    outcome = await payload.run(text)
    assert (outcome.cause, outcome.exit_code) == (cause, code), payload.complained


async def test_it_gets_time_to_tidy_up_and_nothing_outlives_it(
    images: Images, tmp_path: Path, keeping: Keeping
) -> None:
    payload = await prepared(images, tmp_path, keeping)
    outcome = await payload.run(
        "(env -i sleep 3601 &)\ntrap 'echo tidy; exit 0' TERM\necho up; sleep 3601 & wait", limit=1
    )
    assert (outcome.cause, payload.said) == (Cause.POLICY_RUN_TIME, "up\ntidy\n"), payload.complained
    assert not [one for one in Path("/proc").glob("[0-9]*/cmdline") if b"3601" in _read(one).split(b"\0")]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


async def test_its_limits_hold(images: Images, tmp_path: Path, keeping: Keeping) -> None:
    payload = await prepared(images, tmp_path, keeping)
    hog = "dd if=/dev/zero of=/dev/null bs=96M; echo no; sleep 60"
    outcome = await payload.run(hog, memory=40 * 2**20, network=False)
    assert outcome.cause is Cause.USER_MEMORY, (outcome, payload.complained)


async def test_texts_for_a_shell_are_read_in_the_image(images: Images, tmp_path: Path) -> None:
    payload = await prepared(images, tmp_path, Keeping())
    outcome = await payload.run('echo "$1 $MINE"', arguments="'a b'", environment="export MINE='c  d'")
    assert (outcome.cause, payload.said) == (Cause.OK, "a b c  d\n"), payload.complained


async def test_an_image_without_a_shell_is_the_jobs_own_fault(images: Images, tmp_path: Path) -> None:
    payload = await prepared(images, tmp_path, Keeping(), NO_SHELL)
    outcome = await payload.run("exit 0", image=NO_SHELL)
    assert outcome.cause is Cause.USER_PREREQUISITE, (outcome, payload.complained)
    assert "has no /bin/sh" in outcome.reason


async def test_an_image_that_is_not_here_is_told(images: Images) -> None:
    with pytest.raises(NoImage, match="not on this host"):
        await images.isolation("docker://localhost/none:1")
