"""`copilot up`: the whole system on this machine, kept running in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from copilot.config.kinds import ADDRESS, Address
from copilot.errors import ConfigError
from copilot.local.server import LOOPBACK
from copilot.local.system import LocalSystem
from copilot.log import set_up
from copilot.runtime.signals import on_stop

ROOT_DIRECTORY = Path("/var/lib/copilot")


def default_directory() -> Path:
    """Where the system's data are kept: /var/lib/copilot for root, else below the user's data directory."""
    if os.geteuid() == 0:
        return ROOT_DIRECTORY
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "copilot"


def up(
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir", help="Where data are kept. (default: ~/.local/share/copilot; root: /var/lib/copilot)"
        ),
    ] = None,
    listen: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="Open the XMPP port (TLS) and the file port on this address."),
    ] = LOOPBACK,
    agents: Annotated[int, typer.Option(min=0, max=64, help="Agents on this machine.")] = 1,
    monitor: Annotated[bool, typer.Option(help="Whether to run a monitor, with its dashboard.")] = True,
    carbon: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Send what the monitor hears to this Carbon (Graphite), too."),
    ] = None,
) -> None:
    """Start XMPP server, Redis, file server, managers, monitor and agents here, and keep them running until Ctrl-C."""
    set_up(None, level=logging.INFO)
    system = LocalSystem(
        directory or default_directory(),
        listen=listen,
        agents=agents,
        monitor=monitor,
        carbon=_address(carbon),
    )
    asyncio.run(_run(system))


def _address(text: str | None) -> Address | None:
    if text is None:
        return None
    try:
        return ADDRESS.convert(text)
    except ValueError:
        raise ConfigError(f"--carbon {text}: expected {ADDRESS.expects}, such as 127.0.0.1:2003") from None


async def _run(system: LocalSystem) -> None:
    """Until Ctrl-C, which also ends a start that takes long."""
    this = asyncio.current_task()
    assert this is not None
    with on_stop(this.cancel), contextlib.suppress(asyncio.CancelledError):
        print(f"Starting in {system.places.root} ...", flush=True)
        async with system.running():
            print(_instructions(system), flush=True)
            try:
                await asyncio.Event().wait()
            finally:
                print("Stopping ...", flush=True)
    print("Stopped.", flush=True)


def _instructions(system: LocalSystem) -> str:
    places, port = system.places, system.dashboard_port
    look = f"""
  Look at it:    {system.dashboard}   (from elsewhere: ssh -L {port}:{LOOPBACK}:{port} this-machine)"""
    return f"""Running. Ctrl-C stops it; data stay in {places.root}.
  Submit a job:  copilot submit --config {places.etc} --wait -- FILE
  All commands:  export COPILOT_CONFIG={places.etc}; then copilot jobs list, copilot top, copilot doctor
  Add a machine: copilot bundle create --config {places.etc} -o bundle.conf
                 copy bundle.conf to a machine that reaches this one, and run there: copilot-agent --join bundle.conf\
{look if system.monitored else ""}
  Ask them all:  copilot-heartbeat --config {places.etc} systemLoad
  Outputs: {places.done}   Logs: {places.log}"""
