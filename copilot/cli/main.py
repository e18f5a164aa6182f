"""`copilot`: what people do with jobs, and operators with the system as a whole."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer

import copilot
from copilot.actor import Via, enter
from copilot.cli.codes import ExitCode
from copilot.cli.lazy import At, group
from copilot.client.here import here
from copilot.errors import CopilotError

JOBS = {
    "list": At("joblist:list_"),
    "show": At("jobs:show"),
    "explain": At("explain:explain_jobs"),
    "wait": At("jobwait:wait"),
    "tail": At("tail:tail"),
    "output": At("joboutput:output"),
    "history": At("eventlog:history"),
    "cancel": At("jobs:cancel"),
    "hold": At("jobs:hold"),
    "release": At("jobs:release"),
    "retry": At("jobs:retry"),
}
AGENTS = {
    "list": At("agents:list_"),
    "show": At("agents:show"),
    "explain": At("explain_agents:explain_agents"),
    "quarantine": At("agents:quarantine"),
    "release": At("agents:release"),
    "drain": At("agents:drain"),
    "expire": At("agents:expire"),
    "revoke": At("agents:revoke"),
}
COMMANDS: dict[str, At | typer.Typer] = {
    "submit": At("submit_job:submit", settings={"allow_interspersed_args": False}),
    "jobs": group(JOBS, help="List jobs, look at them, wait for them; cancel, hold, release, retry them."),
    "agents": group(
        AGENTS,
        help="List agents, look at them, put them in quarantine and release them, have them leave, cut them off.",
    ),
    "queue": At("overviews:queue"),
    "top": At("overviews:top"),
    "events": At("eventlog:events"),
    "usage": At("usage:usage"),
    "pause": At("pausing:pause"),
    "resume": At("pausing:resume"),
    "shares": At("shares:app"),
    "quotas": At("shares:app", hidden=True),
    "audit": At("audit:app"),
    "doctor": At("doctor:doctor"),
    "bundle": At("bundle:app"),
    "users": At("users:app"),
    "keys": At("keys:app"),
    "config": At("config:app"),
    "clean": At("clean:clean"),
    "up": At("up:up"),
    "demo": At("demo:demo"),
}

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # what writing to the output fails with

app = group(
    COMMANDS,
    help="Co-Pilot: a broker for pilot jobs over XMPP.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


def _run() -> None:
    """Raises BrokenPipeError if who read the output has gone: the libraries make that an exit code of their own, or see it when all is over."""
    try:
        app(prog_name="copilot")
    except SystemExit as end:
        if end.code == 1 and isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        sys.stdout.flush()
        raise


def _stops() -> tuple[type[BaseException], ...]:
    """What ends a command before its time: Ctrl-C, and what a loop makes of it, if there was one: to load asyncio takes as long as `--version`."""
    if "asyncio" not in sys.modules:
        return (KeyboardInterrupt,)
    import asyncio

    return (KeyboardInterrupt, asyncio.CancelledError)


def main() -> None:
    """The command."""
    enter(here(Via.CLI))
    try:
        _run()
    except CopilotError as error:
        print(f"copilot: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except _stops():
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        _close_output()
        sys.exit(ExitCode.PIPE)
    except OSError as error:
        if error.errno not in _UNWRITABLE or error.filename is not None:
            raise
        _close_output()
        print(
            f"copilot: the output cannot be written ({error.strerror}): make room; what the command was to do may be done",
            file=sys.stderr,
        )
        sys.exit(ExitCode.OUTPUT)


def _close_output() -> None:
    """So that Python does not say once more that nothing can be written there when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
