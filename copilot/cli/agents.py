"""`copilot agents`: what operators do with agents: look at them, release them from quarantine, have them leave, cut them off."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from copilot.cli.agenttable import agent_facts, agent_lines, agent_table
from copilot.cli.looking import load_queue, look, opened
from copilot.cli.options import AsJson, ConfigOption, Reason, Remote, Watch, read_duration, who
from copilot.cli.output import Shown, print_json
from copilot.cli.tables import age
from copilot.client.agents import STATES, known_agents
from copilot.client.operating import AgentVerb
from copilot.client.story import when
from copilot.config.kinds import JID, duration
from copilot.errors import BadName, ConfigError
from copilot.job import one_line
from copilot.jobmanager.config import SubmitConfig
from copilot.protocol.envelope import bare
from copilot.roles import Standing
from copilot.store.accounts import CutOff
from copilot.store.base import Store
from copilot.store.rules import MAX_BATCH

_DURATION = duration(0)

Jids = Annotated[list[str], typer.Argument(metavar="JID...", help="Jabber IDs of agents.")]


def list_(
    config: ConfigOption = None,
    as_json: AsJson = False,
    in_quarantine: Annotated[
        bool,
        typer.Option("--quarantine", help="Only those in quarantine, and those at which jobs keep failing."),
    ] = False,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state", metavar="STATE", help=f"Only those that are {', '.join(STATES)}. Repeatable."
        ),
    ] = None,
    watch: Watch = None,
) -> None:
    """List all agents that are known: what they are, and what they do."""
    if unknown := [one for one in state or () if one not in STATES]:
        raise BadName(f"state {unknown[0][:40]!r}: expected one of {', '.join(STATES)}")

    async def find(store: Store) -> Shown:
        shown = [
            one
            for one in await known_agents(store)
            if (not in_quarantine or one.trial is not None or one.aside is not None)
            and (not state or one.state in state)
        ]
        return Shown(
            data=[agent_facts(one) for one in shown],
            lines=lambda width: agent_table(shown).lines(width) if shown else ["no agents"] if width else [],
        )

    look(config, find, as_json=as_json, watch=watch)


def show(
    jid: Annotated[str, typer.Argument(metavar="JID", help="Jabber ID of the agent.")],
    config: ConfigOption = None,
    as_json: AsJson = False,
    watch: Watch = None,
) -> None:
    """Show all that is known of one agent."""
    agent = checked(jid)

    async def find(store: Store) -> Shown:
        found = {one.agent: one for one in await known_agents(store)}
        if agent not in found:
            raise BadName(f"agent {agent}: nothing is known of it: `copilot agents list` has those that are")
        return Shown(data=agent_facts(found[agent]), lines=lambda _: agent_lines(found[agent]))

    look(config, find, as_json=as_json, watch=watch)


def quarantine(
    jids: Jids,
    for_: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="For so long, like 12h. (default: until it is released)"),
    ] = None,
    reason: Reason = "",
    config: ConfigOption = None,
    as_json: AsJson = False,
    remote: Remote = False,
) -> None:
    """Give agents no more jobs, for a time or until they are released. What they run goes on."""
    agents = [checked(jid) for jid in dict.fromkeys(jids)]
    if remote:
        if for_ is not None:
            raise ConfigError("--remote: leave out --for; from afar it is until somebody releases them")
        _from_afar(AgentVerb.QUARANTINE, agents, reason, config, as_json=as_json)
    seconds = None if for_ is None else read_duration(for_, "--for")
    asyncio.run(_quarantine(load_queue(config), agents, seconds, one_line(reason)))
    if as_json:
        print_json([{"agent": agent, "ok": True} for agent in agents])
        return
    last = "until `copilot agents release`" if seconds is None else f"for {age(seconds)}"
    for agent in agents:
        print(f"agent {agent}: gets no jobs {last}; what it runs goes on")


def revoke(
    jids: Jids,
    reason: Annotated[str, typer.Option(help="Why, for those who look later.")] = "",
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Cut agents off, now and for good: their jobs go back to the queue, and the XMPP server lets them in no more."""
    agents = [checked(jid) for jid in dict.fromkeys(jids)]
    cut = asyncio.run(_revoke(load_queue(config), agents, one_line(reason)))
    if as_json:
        print(
            json.dumps(
                [
                    {
                        "agent": agent,
                        "ok": True,
                        "changed": one.changed,
                        "jobs": [event.job for event in one.events],
                    }
                    for agent, one in cut.items()
                ]
            )
        )
        return
    for agent, one in cut.items():
        jobs = f"; {len(one.events)} of its jobs wait again" if one.events else ""
        print(f"agent {agent}: {'revoked' if one.changed else 'was revoked before'}{jobs}")


def expire(
    jids: Jids,
    after: Annotated[
        str, typer.Option("--after", metavar="TIME", help="When, from now, like 12h or 7d; or never.")
    ],
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Say when agents end: then they are cut off as by revoke."""
    agents, at = [checked(jid) for jid in dict.fromkeys(jids)], _end(after)
    changed = asyncio.run(_expire(load_queue(config), agents, at))
    if as_json:
        print(json.dumps([{"agent": agent, "ok": True, "changed": news} for agent, news in changed.items()]))
        return
    for agent, news in changed.items():
        text = "stays" if at is None else f"ends {when(at)}"
        print(f"agent {agent}: {text if news else 'is out already, and stays so'}")


def release(
    jids: Jids,
    reason: Annotated[str, typer.Option(help="Why, for those who look later.")] = "",
    config: ConfigOption = None,
    as_json: AsJson = False,
    remote: Remote = False,
) -> None:
    """Let agents out of quarantine, and forget what has failed there."""
    agents = [checked(jid) for jid in dict.fromkeys(jids)]
    if remote:
        _from_afar(AgentVerb.RELEASE, agents, reason, config, as_json=as_json)
    known = asyncio.run(_release(load_queue(config), agents, one_line(reason)))
    if as_json:
        print(
            json.dumps([{"agent": agent, "ok": True, "changed": changed} for agent, changed in known.items()])
        )
        return
    for agent, changed in known.items():
        text = "released; it gets jobs when it asks" if changed else "is not in quarantine"
        print(f"agent {agent}: {text}")


def drain(jids: Jids, config: ConfigOption = None, as_json: AsJson = False, remote: Remote = False) -> None:
    """Have agents finish what they run, take nothing new, and end."""
    agents = [checked(jid) for jid in dict.fromkeys(jids)]
    if remote:
        _from_afar(AgentVerb.DRAIN, agents, "", config, as_json=as_json)
    asyncio.run(_drain(load_queue(config), agents))
    if as_json:
        print(json.dumps([{"agent": agent, "ok": True} for agent in agents]))
        return
    for agent in agents:
        print(f"agent {agent}: will be told to leave when it has finished what it runs")


def _from_afar(
    verb: AgentVerb, agents: Sequence[str], reason: str, config: Path | None, *, as_json: bool
) -> NoReturn:
    """As an operator, by XMPP."""
    from copilot.cli import from_afar

    with from_afar.settings(config) as settings:
        said = asyncio.run(from_afar.operate_agents(settings, verb, agents, reason))
    if as_json:
        print_json([{"agent": one.target, "ok": one.ok, "text": one.text} for one in said])
    for one in said if not as_json else ():
        print(f"agent {one.target}: {one_line(one.text)}", file=sys.stdout if one.ok else sys.stderr)
    raise typer.Exit(0 if all(one.ok for one in said) else 1)


def checked(jid: str) -> str:
    """The bare JID; nothing is done if one of them cannot be one. Raises `BadName`."""
    try:
        return bare(str(JID.convert(jid.partition("/")[0])))
    except ValueError:
        raise BadName(
            f"agent {jid[:140]!r}: expected {JID.expects}; `copilot agents list` has them"
        ) from None


def _end(text: str) -> float | None:
    if text == "never":
        return None
    try:
        return time.time() + _DURATION.convert(text)
    except ValueError:
        raise BadName(f"--after {text[:40]!r}: expected {_DURATION.expects}, or never") from None


async def _quarantine(
    config: SubmitConfig, agents: Sequence[str], seconds: float | None, reason: str
) -> None:
    async with opened(config) as store:
        await _warn_of_strangers(store, agents)
        for agent in agents:
            await store.set_aside(agent, seconds=seconds, by=who(), reason=reason)


async def _warn_of_strangers(store: Store, agents: Sequence[str]) -> None:
    """An agent may come later, so the wish is kept; but mostly it is a typing error."""
    known = {one.agent for one in await known_agents(store)}
    for agent in agents:
        if agent not in known:
            print(
                f"copilot: warning: agent {agent}: nothing is known of it, look for a typing error (`copilot agents list`); it is noted all the same",
                file=sys.stderr,
            )


async def _revoke(config: SubmitConfig, agents: Sequence[str], reason: str) -> dict[str, CutOff]:
    async with opened(config) as store:
        for agent in agents:
            account = await store.account(agent)
            if account is not None and account.standing is not Standing.AGENT:
                raise BadName(
                    f"account {agent}: is no agent but {account.standing.value}; nothing was revoked"
                )
        return {agent: await store.revoke(agent, reason=reason) for agent in agents}


async def _expire(config: SubmitConfig, agents: Sequence[str], at: float | None) -> dict[str, bool]:
    async with opened(config) as store:
        return {agent: await store.expire(agent, at) for agent in agents}


async def _release(config: SubmitConfig, agents: Sequence[str], reason: str) -> dict[str, bool]:
    async with opened(config) as store:
        return {agent: await store.pardon(agent, reason=reason) for agent in agents}


async def _drain(config: SubmitConfig, agents: Sequence[str]) -> None:
    async with opened(config) as store:
        await _warn_of_strangers(store, agents)
        for start in range(0, len(agents), MAX_BATCH):
            await store.drain(agents[start : start + MAX_BATCH])
