"""`copilot demo`: a job from submit to output through the real commands, on a system that is gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from copilot.cli.codes import ExitCode
from copilot.local.process import die_with, how_it_ended
from copilot.local.system import LocalSystem, command_path
from copilot.log import set_up
from copilot.runtime.signals import on_stop

MOST_SUBMITS = 5
NEXT_SUBMIT = 2.0  # s after one that came while Redis was away, which is started again meanwhile


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
                "Starting Prosody, Redis, file server, job manager, storage manager, monitor and one agent ...",
                flush=True,
            )
            async with system.running():
                print(f"While it runs, look at {system.dashboard} in a browser.", flush=True)
                code = await _submit(system, script)
                print("Stopping everything in order ...", flush=True)
        except asyncio.CancelledError:
            return ExitCode.INTERRUPTED
    print("Nothing is left running.", flush=True)
    return code


async def _submit(system: LocalSystem, script: Path) -> int:
    """As a user would: through the real command, and once more if somebody kills that one, or Redis while it asks."""
    arguments = ["--config", str(system.places.etc), "--command", str(script), "--wait"]
    for _ in range(MOST_SUBMITS):
        print(f"$ copilot-job-submit {' '.join(arguments)}", flush=True)
        status, said = await _run_command("copilot-job-submit", arguments)
        if status == ExitCode.LATER:
            await asyncio.sleep(NEXT_SUBMIT)
        elif status >= 0:
            break
        else:
            print(f"copilot-job-submit {how_it_ended(status)}", file=sys.stderr, flush=True)
    _show(said)
    return status if status >= 0 else 128 - status  # as a shell has it


async def _run_command(name: str, arguments: Sequence[str]) -> tuple[int, str]:
    """Its exit status (negative: the signal), and what it said on stdout. It ends with us."""
    command = await asyncio.create_subprocess_exec(
        command_path(name),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ,
        preexec_fn=die_with(os.getpid()),
    )
    try:
        said, _ = await command.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            command.terminate()
        await command.wait()
        raise
    assert command.returncode is not None
    return command.returncode, said.decode()


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
