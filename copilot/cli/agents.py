"""`copilot agents`: what operators do with agents: look at those in quarantine, release them, have agents leave."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from copilot.cli.components import KNOWN_KEYS
from copilot.cli.queue import open_store
from copilot.client.story import when
from copilot.config import load
from copilot.config.kinds import JID
from copilot.errors import BadName
from copilot.job import one_line
from copilot.jobmanager.config import SubmitConfig
from copilot.protocol.envelope import bare
from copilot.store.rules import MAX_BATCH
from copilot.store.trial import Trial

app = typer.Typer(help="Look at agents in quarantine, release them, have agents leave.", no_args_is_help=True)


Jids = Annotated[list[str], typer.Argument(metavar="JID", help="Jabber IDs of agents.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Configuration directory or file; else $COPILOT_CONFIG, else /etc/copilot."
    ),
]


@app.command("list")
def list_(config: ConfigOption = None, as_json: AsJson = False) -> None:
    """Show the agents at which jobs keep failing, and which of them get none for a while."""
    trials = asyncio.run(_trials(_load(config)))
    if as_json:
        print(json.dumps([{**asdict(trial), "in_quarantine": left > 0} for trial, left in trials]))
        return
    for trial, left in trials:
        print(f"agent {trial.agent}: {_told(trial, left)}; failed there: {', '.join(trial.jobs)}")


@app.command()
def release(
    jids: Jids,
    reason: Annotated[str, typer.Option(help="Why, for the event stream.")] = "",
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Let agents out of quarantine, and forget what has failed there."""
    agents = [_checked(jid) for jid in dict.fromkeys(jids)]
    known = asyncio.run(_release(_load(config), agents, one_line(reason)))
    if as_json:
        print(
            json.dumps([{"agent": agent, "ok": True, "changed": changed} for agent, changed in known.items()])
        )
        return
    for agent, changed in known.items():
        text = "released; it gets jobs when it asks" if changed else "is not in quarantine"
        print(f"agent {agent}: {text}")


@app.command()
def drain(jids: Jids, config: ConfigOption = None, as_json: AsJson = False) -> None:
    """Have agents finish what they run, take nothing new, and end."""
    agents = [_checked(jid) for jid in dict.fromkeys(jids)]
    asyncio.run(_drain(_load(config), agents))
    if as_json:
        print(json.dumps([{"agent": agent, "ok": True} for agent in agents]))
        return
    for agent in agents:
        print(f"agent {agent}: will be told to leave when it has finished what it runs")


def _checked(jid: str) -> str:
    """The bare JID; nothing is done if one of them cannot be one. Raises `BadName`."""
    try:
        return bare(str(JID.convert(jid.partition("/")[0])))
    except ValueError:
        raise BadName(f"agent {jid[:140]!r}: expected {JID.expects}; jobs tell it as their 'agent'") from None


def _load(config: Path | None) -> SubmitConfig:
    settings, warnings = load(SubmitConfig, config, os.environ, known=lambda: KNOWN_KEYS)
    for warning in warnings:
        print(f"copilot: warning: {warning}", file=sys.stderr)
    return settings


def _told(trial: Trial, left: float) -> str:
    if left:
        return f"in quarantine until {when(trial.ends)}"
    return "gets one job at a time on probation" if trial.level else "gets jobs"


async def _trials(config: SubmitConfig) -> list[tuple[Trial, float]]:
    """Each with the seconds that it is still in quarantine."""
    store = open_store(config)
    try:
        return [(trial, await store.quarantine(trial.agent)) for trial in await store.trials()]
    finally:
        await store.close()


async def _release(config: SubmitConfig, agents: Sequence[str], reason: str) -> dict[str, bool]:
    store = open_store(config)
    try:
        return {agent: await store.pardon(agent, reason=reason) for agent in agents}
    finally:
        await store.close()


async def _drain(config: SubmitConfig, agents: Sequence[str]) -> None:
    store = open_store(config)
    try:
        for start in range(0, len(agents), MAX_BATCH):
            await store.drain(agents[start : start + MAX_BATCH])
    finally:
        await store.close()
