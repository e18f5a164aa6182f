"""`copilot-job-submit`: puts a job on the queue and, if asked, waits for its end (report, section 4.6)."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import copilot
from copilot.actor import Via, enter
from copilot.cli import collecting
from copilot.cli.submitting import (
    INTERRUPTED,
    Screen,
    input_of,
    not_with_remote,
    only_with_remote,
    pair,
    size_of,
    submit_here,
)
from copilot.client.here import here, owner_here
from copilot.client.secrets import named
from copilot.client.submission import Submission, numbered
from copilot.errors import CopilotError
from copilot.job import DEFAULT_MAX_ATTEMPTS, Limits

PROGRAM = "copilot-job-submit"

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


def _version(wanted: bool) -> None:
    if wanted:
        print(f"{PROGRAM} {copilot.__version__}")
        raise typer.Exit


@app.command()
def command(  # noqa: PLR0917  # one parameter per option
    command: Annotated[Path, typer.Option(help="File that the agent executes: a script or a program.")],
    arguments: Annotated[str, typer.Option(help="Its command line, quoted as for a shell.")] = "",
    environment: Annotated[
        list[str] | None,
        typer.Option("--environment", "-e", metavar="NAME=VALUE", help="Set for the job; repeatable."),
    ] = None,
    input_: Annotated[
        list[str] | None,
        typer.Option(
            "--input", "-i", metavar="FILE[=NAME]", help="Further file for the job's directory; repeatable."
        ),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            "--secret",
            metavar="NAME=FILE",
            help="What is in FILE for the job alone, as $COPILOT_SECRETS/NAME, sealed on its way and in the queue; repeatable.",
        ),
    ] = None,
    packages: Annotated[
        str, typer.Option(help="Software packages that the job needs, separated by blanks.")
    ] = "",
    validation: Annotated[
        Path | None, typer.Option(help="Script that checks the result on the agent.")
    ] = None,
    chirp_server: Annotated[
        str | None,
        typer.Option(
            help="Chirp server of the job manager, as agents reach it (host or host:port). "
            "(default: JM_CHIRP_SERVER; without JM_FILES_URL this machine)"
        ),
    ] = None,
    chirp_dir: Annotated[
        Path | None,
        typer.Option(
            help="Directory that this server exports. (default: JM_FILES_DIR or JM_CHIRP_WORK_DIR; without these "
            "the files go by Chirp)"
        ),
    ] = None,
    job_id: Annotated[
        str | None,
        typer.Option(
            "--id",
            help="Id of the job: with it, the same command once more changes nothing. (default: a new UUID)",
        ),
    ] = None,
    priority: Annotated[int, typer.Option(min=-30, max=30, help="Higher goes first.")] = 0,
    max_run_time: Annotated[float | None, typer.Option(min=1, metavar="SECONDS", help="Longest run.")] = None,
    max_attempts: Annotated[
        int, typer.Option(min=1, max=100, help="Attempts until failures of the infrastructure end the job.")
    ] = DEFAULT_MAX_ATTEMPTS,
    max_retries: Annotated[
        int, typer.Option(min=0, max=99, help="How often the job is run again if it fails by itself.")
    ] = 0,
    exclusive: Annotated[
        bool,
        typer.Option(
            "--exclusive",
            help="Never two attempts at once: an agent that is cut off stops the job rather than that it is doubled.",
        ),
    ] = False,
    requirements: Annotated[
        str,
        typer.Option(
            metavar="EXPRESSION",
            help="What the agent's host must be like, as a ClassAd expression: 'other.Memory >= 2000 && other.Cores >= 4'.",
        ),
    ] = "",
    rank: Annotated[
        str,
        typer.Option(
            metavar="EXPRESSION",
            help="Of several idle hosts the one where this is highest: 'other.Memory'.",
        ),
    ] = "",
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Most memory that all of it may use, like 2GiB. Agents with less do not get it.",
        ),
    ] = None,
    cpu_time: Annotated[
        float | None,
        typer.Option(min=1, metavar="SECONDS", help="Most time of processors that all of it may use."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Most processes and threads at a time.")
    ] = None,
    open_files: Annotated[
        int | None, typer.Option(min=16, help="Most open files of each of its processes.")
    ] = None,
    file_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Largest file that it may write.")
    ] = None,
    disk: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Most disk that its directory may take. Agents with less do not get it."
        ),
    ] = None,
    network: Annotated[
        bool, typer.Option("--network", help="It needs the network, which a sandbox else does not have.")
    ] = False,
    image: Annotated[
        str,
        typer.Option(
            metavar="IMAGE",
            help="Container image that it runs in: docker://NAME[:TAG], or the path of a .sif file on the agent.",
        ),
    ] = "",
    count: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            help="Submit so many jobs, with '-1', '-2' … after the id and their number in COPILOT_NUMBER. (default: one job)",
        ),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            "-w",
            help="Wait for the end; exit with the job's exit code, of many jobs the first that is not 0.",
        ),
    ] = False,
    remote: Annotated[
        bool,
        typer.Option(
            "--remote",
            "-r",
            help="Submit by XMPP, from any machine, with an account of your own: the settings are SUBMIT_….",
        ),
    ] = False,
    project: Annotated[
        str | None, typer.Option(help="For whose work it is. (default, with --remote: SUBMIT_PROJECT)")
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIRECTORY",
            help="With --remote: wait for the end, and fetch the output to ID.tgz in this directory.",
        ),
    ] = None,
    unpack: Annotated[
        bool, typer.Option("--unpack", help="Unpack it there, below ID, instead of keeping it packed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Configuration file or directory. (default: $COPILOT_CONFIG or /etc/copilot; with --remote "
            "~/.config/copilot)"
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001  # its callback does it all
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Submit a job, or with --count many alike. Without --wait, prints their ids."""
    job = job_id or str(uuid.uuid4())
    try:
        submission = Submission(
            id=job,
            command=command,
            arguments=arguments,
            environment=dict(pair(item, "--environment", "NAME=VALUE") for item in environment or ()),
            packages=packages.split(),
            inputs=dict(input_of(item) for item in input_ or ()),
            validation=validation,
            priority=priority,
            max_attempts=max_attempts,
            max_user_attempts=max_retries + 1,
            max_run_time=max_run_time,
            owner=owner_here(),
            exclusive=exclusive,
            requirements=requirements,
            rank=rank,
            project=project or "",
            limits=Limits(
                memory=size_of(memory, "--memory"),
                cpu_time=cpu_time,
                processes=processes,
                open_files=open_files,
                file_size=size_of(file_size, "--file-size"),
                disk=size_of(disk, "--disk"),
            ),
            network=network,
            image=image,
        )
        submissions = [submission] if count is None else numbered(submission, count)
        secrets = named(secret or ())
        if remote:
            not_with_remote(chirp_server, chirp_dir)
            from copilot.cli import from_afar

            shown = from_afar.Screen(as_json=as_json, wait=wait, output_dir=output_dir, unpack=unpack)
            code = from_afar.submit(submissions, config, shown, secrets=secrets)
        else:
            only_with_remote(output_dir, unpack=unpack)
            screen = Screen(program=PROGRAM, as_json=as_json, wait=wait)
            code = submit_here(submissions, config, screen, chirp_server, chirp_dir, secrets)
    except CopilotError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        code = error.exit_code
    except (KeyboardInterrupt, asyncio.CancelledError):
        print(f"{PROGRAM}: interrupted; if job {job} is on the queue already, it goes on", file=sys.stderr)
        code = INTERRUPTED
    raise typer.Exit(code)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    collecting.few()
    enter(here(Via.CLI))
    app(args=None if arguments is None else list(arguments), prog_name=PROGRAM)
