"""Container images on this agent: which tool runs them, found out with a real process, and how one gets here."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field
from pathlib import Path
from typing import Protocol

from copilot.agent import strays
from copilot.agent.isolation import apptainer, podman
from copilot.agent.isolation.base import Isolation, NoIsolation, Pull, ToolWish
from copilot.agent.isolation.bubblewrap import SYSTEM
from copilot.agent.isolation.choosing import SandboxContext, fault_of, find_program
from copilot.agent.isolation.container import tool_environment
from copilot.agent.isolation.image import NoImage, Reference, file_of
from copilot.agent.trees import remove_tree
from copilot.errors import BadName
from copilot.job import image_kind, one_line
from copilot.records import dataclass

log = logging.getLogger("copilot.agent")

NO_TOOL = "this agent runs no container images"
TRIAL_LIMIT = 60.0  # s; a tool that was just installed makes its storage first
LOOK_LIMIT = 60.0  # s to find out whether an image is here
_SAID = 300  # characters of what a tool has said


class Tool(Isolation, Protocol):
    """An image tool: once it knows the image, one way to keep payloads apart."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of images, as in `copilot.job.image_kind`."""
        ...

    def of(self, image: Reference | Path) -> Tool:
        """For jobs of this image."""
        ...

    def of_directory(self, root: Path, shown: Sequence[Path]) -> Tool:
        """For a trial: a directory as the file system, with parts of the host in it."""
        ...

    def is_here(self, image: Reference) -> list[str]:
        """The command that ends with 0 if the image need not be fetched."""
        ...

    def fetch(self, image: Reference) -> list[str]:
        """The command that fetches it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRules:
    """What the operator allows: image files below `directory`, images of these `registries`. `limit` in s for fetching one."""

    directory: Path | None = None
    registries: tuple[str, ...] = ()
    pull: Pull = Pull.MISSING
    limit: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """The images that jobs may name here, run by `tool`."""

    tool: Tool
    rules: ImageRules
    _one_at_a_time: dict[str, asyncio.Lock] = field(default_factory=dict)

    @property
    def kinds(self) -> tuple[str, ...]:
        """In the words of the host's JDL (`Images`)."""
        return tuple(kind for kind in self.tool.kinds if kind != "sif" or self.rules.directory is not None)

    def close(self) -> None:
        """Leave nothing of the tool running. No job runs any more."""
        _end_pause()

    def fault(self, image: str) -> str | None:
        """Why this host cannot run jobs of that image, as far as it is known at once; None if nothing speaks against it. A name
        that is no image's is the job's own fault, and shows when it is to be fetched."""
        if (kind := image_kind(image)) not in self.kinds:
            return f"image {image}: this agent runs no images of the kind {kind!r}"
        with suppress(BadName):
            try:
                self._checked(image)
            except NoImage as error:
                return str(error)
        return None

    async def isolation(self, image: str) -> Isolation:
        """For a job of that image, which is here then. Raises `BadName`, `NoImage`, OSError."""
        checked = self._checked(image)
        if isinstance(checked, Reference):
            await self._have(checked)
        return self.tool.of(checked)

    def _checked(self, image: str) -> Reference | Path:
        if image_kind(image) == "sif":
            return file_of(image, self.rules.directory)
        reference = Reference.of(image)
        host = reference.registry.partition(":")[0]
        if not reference.local and host not in self.rules.registries:
            raise NoImage(f"image {image}: this agent fetches none from {host} (AGENT_IMAGE_REGISTRIES)")
        return reference

    async def _have(self, image: Reference) -> None:
        lock = self._one_at_a_time.setdefault(str(image), asyncio.Lock())
        async with lock:
            again = self.rules.pull is Pull.ALWAYS and not image.local
            if not again and (await _run(self.tool.is_here(image), LOOK_LIMIT))[0] == 0:
                return
            if image.local or self.rules.pull is Pull.NEVER:
                raise NoImage(f"image {image}: it is not on this host, and this agent does not fetch it")
            log.info("fetching image %s", image)
            code, said = await _run(self.tool.fetch(image), self.rules.limit)
        if code != 0:
            raise NoImage(f"image {image}: it could not be fetched: {said or f'exit code {code}'}")


async def _run(argv: Sequence[str], limit: float) -> tuple[int, str]:
    """How a command of a tool ended, and the end of what it said. Raises `NoImage` after `limit` s, OSError."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=dict(tool_environment()),
        cwd="/",
        process_group=0,  # of our session all the same: nobody takes it for what a payload has left
    )
    try:
        async with asyncio.timeout(limit):
            _, said = await process.communicate()
    except TimeoutError as error:
        raise NoImage(f"{Path(argv[0]).name} took longer than {limit:g} s for an image") from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    assert process.returncode is not None
    return process.returncode, one_line(said.decode(errors="replace").strip()[-_SAID:])


def choose_images(wish: ToolWish, context: SandboxContext, rules: ImageRules) -> Images | None:
    """The image tool of that name or, for `auto`, the first that works here; None if there is none or none is wanted. Blocks for a second
    or so. Raises `NoIsolation` for one that was named and does not work."""
    if wish is ToolWish.NONE:
        return None
    named = _MAKERS if wish is ToolWish.AUTO else {str(wish): _MAKERS[wish]}
    faults = []
    for name, make in named.items():
        try:
            return Images(tool=_tried(name, make, context), rules=rules)
        except NoIsolation as error:
            faults.append(str(error))
    if wish is not ToolWish.AUTO:
        raise NoIsolation(faults[0])
    log.info("%s: %s", NO_TOOL, "; ".join(faults))
    return None


def _end_pause() -> None:
    """podman keeps a process that holds an ordinary user's namespaces; one that was started by us has become our child."""
    strays.end_children_with(b"_PODMAN_PAUSE=1")


def _tried(name: str, make: Callable[[str, SandboxContext], Tool], context: SandboxContext) -> Tool:
    tool = make(find_program(name, name), context)
    with _trial_root(context) as (root, shown):
        fault = fault_of(tool.of_directory(root, shown), context, limit=TRIAL_LIMIT)
    if fault is not None:
        _end_pause()
        raise NoIsolation(f"{name} does not work here: {one_line(fault)}")
    return tool


def _podman(program: str, context: SandboxContext) -> Tool:
    return podman.Podman(program=program, account=context.account)


def _apptainer(program: str, context: SandboxContext) -> Tool:
    store = context.work_dir / "images"
    return apptainer.Apptainer(program=program, store=store, account=context.account)


_MAKERS: dict[str, Callable[[str, SandboxContext], Tool]] = {
    apptainer.NAME: _apptainer,  # first: it runs both kinds
    podman.NAME: _podman,
}


@contextmanager
def _trial_root(context: SandboxContext) -> Iterator[tuple[Path, list[Path]]]:
    """A file system for a trial, without any image: a directory in which parts of this host's are to be shown."""
    jobs = context.work_dir / "jobs"
    jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix=".trial-image-", dir=jobs))
    try:
        root.chmod(0o755)
        shown = []
        for path in map(Path, SYSTEM):
            inside = root / path.relative_to("/")
            if path.is_symlink():
                inside.symlink_to(path.readlink())
            elif path.is_dir() and path.name not in ("etc", "opt", "cvmfs"):
                inside.mkdir()
                shown.append(path)
        yield root, shown
    finally:
        remove_tree(root)
