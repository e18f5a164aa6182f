"""`copilot demo`: a job from submit to output through the real commands, on a system that is gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from copilot.local.system import LocalSystem, command_path
from copilot.log import set_up
from copilot.runtime.signals import on_stop

INTERRUPTED = 130


def demo(
    command: Annotated[
        Path, typer.Argument(metavar="SCRIPT", help="Script to run as the job.", exists=True, dir_okay=False)
    ],
) -> None:
    """Start the whole system in a private directory, run SCRIPT as a job, show its output, stop everything."""
    set_up(None)
    directory = Path(tempfile.mkdtemp(prefix="copilot-demo-"))
    try:
        code = asyncio.run(_run(LocalSystem(directory), command))
    finally:
        _keep_outputs(directory)
    raise typer.Exit(code)


async def _run(system: LocalSystem, script: Path) -> int:
    """The exit code of the job; Ctrl-C stops everything in order."""
    this = asyncio.current_task()
    assert this is not None
    with on_stop(this.cancel):
        try:
            print(
                "Starting Prosody, Redis, file server, job manager, storage manager and one agent ...",
                flush=True,
            )
            async with system.running():
                code = await _submit(system, script)
                print("Stopping everything in order ...", flush=True)
        except asyncio.CancelledError:
            return INTERRUPTED
    print("Nothing is left running.", flush=True)
    return code


async def _submit(system: LocalSystem, script: Path) -> int:
    """Through the real command, as a user would."""
    arguments = ["--config", str(system.places.etc), "--command", str(script), "--wait"]
    print(f"$ copilot-job-submit {' '.join(arguments)}", flush=True)
    submit = await asyncio.create_subprocess_exec(
        command_path("copilot-job-submit"), *arguments, stdout=asyncio.subprocess.PIPE, env=os.environ
    )
    try:
        said, _ = await submit.communicate()
    except asyncio.CancelledError:
        submit.terminate()
        await submit.wait()
        raise
    _show(said.decode())
    return submit.returncode or 0


def _show(said: str) -> None:
    """What the job printed, and where its output lies."""
    package = Path(said.strip())
    if not package.is_file():
        print(said, end="", file=sys.stderr)
        return
    print("The job printed:", flush=True)
    print(_stdout(package), end="", flush=True)
    print(f"Its output lies in {package}", flush=True)


def _stdout(package: Path) -> str:
    job = package.stem
    with tarfile.open(package) as archive:
        member = archive.extractfile(f"{job}/stdout")
        return "" if member is None else member.read().decode(errors="replace")


def _keep_outputs(directory: Path) -> None:
    """What the job left stays; the system's own files go."""
    for item in directory.iterdir():
        if item.name != "done" or not any(item.iterdir()):
            shutil.rmtree(item, ignore_errors=True) if item.is_dir() else item.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # there is an output
        directory.rmdir()
