"""`copilot`: what operators do with the system as a whole."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import copilot
from copilot.cli import agents, bundle, clean, config, demo, jobs, keys, up, users
from copilot.errors import CopilotError

app = typer.Typer(
    help="Co-Pilot: a broker for pilot jobs over XMPP.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(up.up)
app.command()(demo.demo)
app.command()(clean.clean)
app.add_typer(agents.app, name="agents")
app.add_typer(bundle.app, name="bundle")
app.add_typer(jobs.app, name="jobs")
app.add_typer(config.app, name="config")
app.add_typer(keys.app, name="keys")
app.add_typer(users.app, name="users")


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
    try:
        app(prog_name="copilot")
    except CopilotError as error:
        print(f"copilot: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
