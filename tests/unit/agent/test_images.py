"""Container images: their names, the exact command lines of the tools, how a tool is tried, and what is fetched when."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from copilot.agent.isolation.apptainer import Apptainer
from copilot.agent.isolation.base import Account, Allowed, Launch, NoIsolation, Place, Pull, ToolWish
from copilot.agent.isolation.choosing import SandboxContext
from copilot.agent.isolation.image import NoImage, Reference, file_of
from copilot.agent.isolation.images import ImageRules, Images, choose_images
from copilot.agent.isolation.podman import Podman
from copilot.errors import BadName

NOBODY = Account(uid=65534, gid=65533)
DIGEST = "sha256:" + "0a" * 32
# It records how it was called and does the rest without a container.
FAKE = """\
#!{python} -IS
import json, os, sys
words = sys.argv[1:]
with open({record!r}, "a") as file:
    file.write(json.dumps(words) + "\\n")
if "-c" not in words:
    sys.exit({code})
places, variables = {{}}, {{"PATH": os.environ["PATH"]}}
for word in words:
    if word.startswith("--mount=type=bind,src="):
        path, there = word.removeprefix("--mount=type=bind,src=").split(",")[:2]
        places[there.removeprefix("dst=")] = path
    if word.startswith("--home="):
        path, there = word.removeprefix("--home=").split(":")
        places[there], variables["HOME"] = path, there
    if word.startswith("--env="):
        name, value = word.removeprefix("--env=").split("=", 1)
        variables[name] = value
for name, value in os.environ.items():
    if name.startswith("APPTAINERENV_"):
        variables[name.removeprefix("APPTAINERENV_")] = value
def real(text):
    for there, path in places.items():
        text = text.replace(there, path) if there.startswith("/job/") else text
    return text
variables["TMPDIR"] = real(variables["TMPDIR"])
os.execve("/bin/sh", ["/bin/sh", *map(real, words[words.index("-c"):])], variables)
"""


@pytest.mark.parametrize(
    ("image", "whole"),
    [
        ("docker://debian", "docker.io/library/debian:latest"),
        ("docker://debian:12", "docker.io/library/debian:12"),
        ("docker://cms/tools:1.2-a_b", "docker.io/cms/tools:1.2-a_b"),
        ("docker://ghcr.io/some-body/some.thing", "ghcr.io/some-body/some.thing:latest"),
        ("docker://registry.example:5000/a/b/c:x", "registry.example:5000/a/b/c:x"),
        (f"docker://debian:12@{DIGEST}", f"docker.io/library/debian@{DIGEST}"),
        ("docker://localhost/mine:1", "localhost/mine:1"),
    ],
)
def test_the_whole_name_of_an_image(image: str, whole: str) -> None:
    assert str(Reference.of(image)) == whole


@pytest.mark.parametrize(
    "name",
    [
        "", "--privileged", "-v", "/etc", "../x", "a/../b", "a//b", "a/", "a b", "a\n", "a:-x", "a:", "a@sha256:00", "A",
        "a.example:99999999/b", "a,b", "a$x", "a;b", ".a/b", "unix:/run/x", "a:1:2", "docker://a",
    ],
)  # fmt: skip
def test_what_is_no_name_of_an_image_reaches_no_tool(name: str) -> None:
    with pytest.raises(BadName, match=r"docker://\[registry/\]"):
        Reference.of(f"docker://{name}")


def test_image_files_lie_below_the_operators_directory_and_nowhere_else(tmp_path: Path) -> None:
    below = tmp_path / "images"
    (below / "more").mkdir(parents=True)
    good, outside = below / "more" / "a.sif", tmp_path / "b.sif"
    good.touch()
    outside.touch()
    (below / "link.sif").symlink_to(outside)
    (below / "loop.sif").symlink_to(below / "loop.sif")
    assert file_of(str(good), below) == good
    for bad in (outside, below / "link.sif", below / "more" / ".." / ".." / "b.sif", below / "more"):
        with pytest.raises(NoImage, match="no file below"):
            file_of(str(bad), below)
    for missing in (below / "none.sif", below / "loop.sif"):
        with pytest.raises(NoImage, match="no such file"):
            file_of(str(missing), below)
    with pytest.raises(NoImage, match="AGENT_IMAGE_DIR"):
        file_of(str(good), None)


def place_in(root: Path) -> Place:
    place = Place(
        payload=root / "payload",
        temporary=root / "tmp",
        wrapper=root / "wrapper",
        streams=(root / "stdout",),
        secrets=root / "vault",
    )
    place.wrapper.mkdir()
    return place


def launched(tool: Podman | Apptainer, place: Place, allowed: Allowed) -> Launch:
    with tool.launch(["./job.sh", "a b"], place, allowed) as launch:
        return launch


def test_podman_is_called_with_exactly_this(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_JABBER_PASSWORD", "canary")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (100, 4000))
    tool = Podman(program="/usr/bin/podman", account=NOBODY).of(Reference.of("docker://debian:12"))
    launch = launched(tool, place_in(tmp_path), Allowed(environment={"HOME": "/job/payload", "A": "b c"}))
    script = launch.argv[launch.argv.index("-c", 5) + 1]
    assert list(launch.argv) == [
        *("/bin/sh", "-c", 'exec "$@" 3<&0 </dev/null', "sh"),
        *(
            "/usr/bin/podman",
            "--cgroup-manager=cgroupfs",
            "--events-backend=none",
            "--log-level=error",
            "run",
        ),
        *("--rm", "--pull=never", "--cgroups=disabled", "--pids-limit=-1"),
        *("--pid=private", "--ipc=private", "--uts=private", "--hostname=job"),
        *("--read-only", "--read-only-tmpfs=false", "--image-volume=ignore"),
        *("--cap-drop=all", "--security-opt=no-new-privileges", "--security-opt=label=disable"),
        *("--env-host=false", "--http-proxy=false", "--no-hosts", "--no-healthcheck", "--systemd=false"),
        *("--log-driver=none", "--preserve-fds=1", "--shm-size=64m"),
        "--tmpfs=/tmp:rw,nosuid,nodev,size=64m,mode=1777",
        *("--workdir=/", "--entrypoint=/bin/sh", "--network=none", "--user=65534:65533"),
        *("--ulimit=nofile=100:4000", "--ulimit=nproc=4000:4000"),
        f"--mount=type=bind,src={tmp_path}/payload,dst=/job/payload",
        f"--mount=type=bind,src={tmp_path}/tmp,dst=/job/tmp",
        f"--mount=type=bind,src={tmp_path}/wrapper,dst=/job/wrapper",
        f"--mount=type=bind,src={tmp_path}/stdout,dst=/job/stdout,ro",
        f"--mount=type=bind,src={tmp_path}/vault,dst=/job/secrets,ro",
        *("--env=HOME=/job/payload", "--env=A=b c", "docker.io/library/debian:12"),
        *("-c", script, "sh", "./job.sh", "a b"),
    ]
    assert script.startswith("exec 0<&3 3<&-\n")
    assert launch.contained
    assert launch.environment is not None
    assert "canary" not in launch.environment.values()


def test_apptainer_is_called_with_exactly_this(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_JABBER_PASSWORD", "canary")
    tool = Apptainer(program="/usr/bin/apptainer", store=tmp_path / "images", account=NOBODY)
    tool = tool.of(Path("/images/a.sif"))
    launch = launched(tool, place_in(tmp_path), Allowed(environment={"HOME": "/job/payload", "A": "b c"}))
    script = launch.argv[launch.argv.index("-c") + 1]
    assert list(launch.argv) == [
        *("/usr/bin/apptainer", "--silent", "exec", "--containall", "--uts", "--hostname=job"),
        *("--no-mount=bind-paths,hostfs,cwd", "--no-privs", "--no-eval", "--net", "--network=none"),
        *("--security=uid:65534,gid:65533", f"--home={tmp_path}/payload:/job/payload"),
        f"--mount=type=bind,src={tmp_path}/tmp,dst=/job/tmp",
        f"--mount=type=bind,src={tmp_path}/wrapper,dst=/job/wrapper",
        f"--mount=type=bind,src={tmp_path}/stdout,dst=/job/stdout,ro",
        f"--mount=type=bind,src={tmp_path}/vault,dst=/job/secrets,ro",
        *("--pwd=/job/payload", "/images/a.sif", "/bin/sh", "-c", script, "sh", "./job.sh", "a b"),
    ]
    assert launch.environment is not None
    assert launch.environment["APPTAINERENV_A"] == "b c"
    assert "APPTAINERENV_HOME" not in launch.environment
    assert "canary" not in launch.environment.values()


def test_the_network_is_there_if_it_is_allowed(tmp_path: Path) -> None:
    place, asked = place_in(tmp_path), Allowed(network=True)
    podman = Podman(program="podman").of(Reference.of("docker://a"))
    assert {"--network=host", "--user=0:0"} <= set(launched(podman, place, asked).argv)
    apptainer = Apptainer(program="apptainer", store=tmp_path).of(Path("/a.sif"))
    assert "--net" not in launched(apptainer, place, asked).argv
    assert not podman.forgets(asked)
    assert podman.forgets(Allowed())


def test_a_path_that_a_tool_would_misread_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "a,dst=x"
    root.mkdir()
    for tool in (Podman(program="podman"), Apptainer(program="apptainer", store=tmp_path)):
        (root / "wrapper").rmdir() if (root / "wrapper").exists() else None
        with pytest.raises(NoIsolation, match="commas"):
            launched(tool, place_in(root), Allowed())


@dataclass
class Fakes:
    """Tools of ours on PATH."""

    directory: Path

    def put(self, name: str, *, code: int = 1, broken: bool = False) -> None:
        tool = self.directory / name
        text = FAKE.format(python=sys.executable, record=str(self.directory / "calls"), code=code)
        tool.write_text("#!/bin/sh\necho no namespaces >&2; exit 125\n" if broken else text)
        tool.chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        file = self.directory / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return Fakes(directory)


def chosen(wish: ToolWish, work_dir: Path, rules: ImageRules | None = None) -> Images | None:
    return choose_images(
        wish, SandboxContext(work_dir=work_dir), rules or ImageRules(registries=("docker.io",))
    )


@pytest.mark.parametrize("name", ["podman", "apptainer"])
def test_a_tool_is_tried_with_a_real_process_and_leaves_nothing(
    fakes: Fakes, tmp_path: Path, name: str
) -> None:
    fakes.put(name)
    images = chosen(ToolWish(name), tmp_path)
    assert images is not None
    assert images.tool.level == f"{name}+net"
    (call,) = fakes.calls
    assert "--network=none" in call
    assert not list((tmp_path / "jobs").iterdir())


def test_a_tool_that_does_not_work_is_not_believed(fakes: Fakes, tmp_path: Path) -> None:
    fakes.put("apptainer", broken=True)
    fakes.put("podman", broken=True)
    assert chosen(ToolWish.AUTO, tmp_path) is None
    for wish in (ToolWish.PODMAN, ToolWish.APPTAINER):
        with pytest.raises(NoIsolation, match=f"{wish} does not work here: no namespaces"):
            chosen(wish, tmp_path)
    fakes.put("podman")
    found = chosen(ToolWish.AUTO, tmp_path)
    assert found is not None
    assert found.tool.level == "podman+net"
    assert chosen(ToolWish.NONE, tmp_path) is None


def test_what_is_no_image_of_this_host_is_known_before_the_job_is_taken(tmp_path: Path) -> None:
    rules = ImageRules(directory=tmp_path, registries=("docker.io",))
    both = Images(tool=Apptainer(program="apptainer", store=tmp_path), rules=rules)
    one = Images(tool=Podman(program="podman"), rules=rules)
    (tmp_path / "a.sif").touch()
    assert (both.kinds, one.kinds) == (("docker", "sif"), ("docker",))
    assert Images(tool=both.tool, rules=ImageRules()).kinds == ("docker",)
    assert both.fault(f"{tmp_path}/a.sif") is None
    assert both.fault("docker://debian") is None
    for images, image, why in (
        (one, f"{tmp_path}/a.sif", "no images of the kind 'sif'"),
        (both, f"{tmp_path}/b.sif", "no such file"),
        (both, "docker://10.0.0.1:80/a", "fetches none from 10.0.0.1"),
    ):
        assert why in (images.fault(image) or "")


class Fetching(Podman):
    """`is_here` and `fetch` are commands of the test."""

    __slots__ = ()

    def is_here(self, image: Reference) -> list[str]:
        return ["/bin/sh", "-c", f"echo looked >>{self.program}; [ -e {self.program}.here ]"]

    def fetch(self, image: Reference) -> list[str]:
        return ["/bin/sh", "-c", f"echo fetched >>{self.program}; . {self.program}.do"]


def fetching(tmp_path: Path, do: str, **rules: object) -> Images:
    (tmp_path / "log.do").write_text(do)
    tool = Fetching(program=str(tmp_path / "log"))
    return Images(tool=tool, rules=ImageRules(registries=("docker.io",), **rules))  # type: ignore[arg-type]


def done(tmp_path: Path) -> Sequence[str]:
    return (tmp_path / "log").read_text().split()


async def test_two_jobs_that_want_an_image_fetch_it_once(tmp_path: Path) -> None:
    images = fetching(tmp_path, f"touch {tmp_path}/log.here")
    await asyncio.gather(images.isolation("docker://a"), images.isolation("docker://a:latest"))
    assert done(tmp_path) == ["looked", "fetched", "looked"]


async def test_the_operator_says_when_images_are_fetched(tmp_path: Path) -> None:
    never = fetching(tmp_path, "exit 0", pull=Pull.NEVER)
    with pytest.raises(NoImage, match="not on this host"):
        await never.isolation("docker://a")
    await fetching(tmp_path, "exit 0", pull=Pull.ALWAYS).isolation("docker://a")
    with pytest.raises(NoImage, match="not on this host"):  # from nowhere
        await fetching(tmp_path, "exit 0", pull=Pull.ALWAYS).isolation("docker://localhost/a")
    assert done(tmp_path) == ["looked", "fetched", "looked"]


async def test_an_image_that_cannot_be_fetched_says_why_and_takes_no_longer_than_it_may(
    tmp_path: Path,
) -> None:
    with pytest.raises(NoImage, match="could not be fetched: manifest unknown"):
        await fetching(tmp_path, "echo manifest unknown >&2; exit 125").isolation("docker://a")
    with pytest.raises(NoImage, match=r"longer than 0\.1 s"):
        await fetching(tmp_path, "exec sleep 3602", limit=0.1).isolation("docker://a")
