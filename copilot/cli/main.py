"""`copilot`: what people do with jobs, and operators with the system as a whole."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import copilot
from copilot.actor import Via, enter
from copilot.cli import (
    agents,
    audit,
    bundle,
    clean,
    config,
    demo,
    eventlog,
    explain,
    joblist,
    joboutput,
    jobs,
    keys,
    overviews,
    pausing,
    shares,
    submit_job,
    tail,
    up,
    usage,
    users,
)
from copilot.cli.codes import ExitCode
from copilot.cli.doctor import doctor
from copilot.cli.options import spelt
from copilot.client.here import here
from copilot.errors import CopilotError


class _Group(TyperGroup):
    """Options as people spell them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """What `spelt` makes of them."""
        return super().parse_args(ctx, spelt(args))


app = typer.Typer(
    cls=_Group,
    help="Co-Pilot: a broker for pilot jobs over XMPP.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(up.up)
app.command()(demo.demo)
app.command()(clean.clean)
app.command(context_settings={"allow_interspersed_args": False})(submit_job.submit)
app.command()(overviews.queue)
app.command()(overviews.top)
app.command()(eventlog.events)
app.command()(pausing.pause)
app.command()(pausing.resume)
app.command()(usage.usage)
jobs.app.command("list")(joblist.list_)
jobs.app.command()(joblist.wait)
jobs.app.command()(joblist.history)
jobs.app.command()(joboutput.output)
jobs.app.command("explain")(explain.explain_jobs)
agents.app.command("explain")(explain.explain_agents)
jobs.app.command()(tail.tail)
app.add_typer(agents.app, name="agents")
app.add_typer(audit.app, name="audit")
app.add_typer(bundle.app, name="bundle")
app.add_typer(jobs.app, name="jobs")
app.add_typer(config.app, name="config")
app.add_typer(keys.app, name="keys")
app.add_typer(shares.app, name="shares")
app.add_typer(shares.app, name="quotas", hidden=True)
app.add_typer(users.app, name="users")
app.command()(doctor)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"copilot {copilot.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of all commands."""


def main() -> None:
    """The command."""
    enter(here(Via.CLI))
    try:
        app(prog_name="copilot")
    except CopilotError as error:
        print(f"copilot: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:  # so that Python does not say so once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.PIPE)
