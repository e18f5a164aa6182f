"""`copilot bundle`: makes what lets agents in, lists it, and takes it back (decision 17)."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from copilot.cli.known import known_keys
from copilot.cli.looking import load_queue, opened
from copilot.cli.options import AsJson, ConfigOption
from copilot.cli.service_keys import service_keys_text, without_keys
from copilot.client.story import when
from copilot.config import load
from copilot.config.kinds import ADDRESS, Address, duration
from copilot.enrol.bundle import bundle_text
from copilot.enrol.cloud import user_data
from copilot.enrol.credentials import write_private
from copilot.enrol.making import Wish, bring_in, new_bundle, refuse_existing
from copilot.errors import BadName
from copilot.jobmanager.config import ManagerConfig, SubmitConfig
from copilot.store.accounts import Bundle

app = typer.Typer(help="Make bundles that let agents in, list them, revoke them.", no_args_is_help=True)

WAIT = 30.0  # s for a manager to make the account

_DURATION = duration(60)


@app.command()
def create(
    *,
    agents: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many agents may come in by it.")] = 1,
    expires: Annotated[str, typer.Option(help="For how long, like 12h or 7d; or never.")] = "7d",
    project: Annotated[list[str] | None, typer.Option(help="Project of these agents. Repeatable.")] = None,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Where agents reach the XMPP server, if not where the manager does."
        ),
    ] = None,
    cloud_init: Annotated[
        bool,
        typer.Option(
            "--cloud-init", help="Write user data for cloud-init: a machine that gets it joins by itself."
        ),
    ] = False,
    package: Annotated[
        str | None,
        typer.Option(
            help="With --cloud-init: what pip installs there, instead of this version from its package index."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to write it (0600).")
    ] = None,
    wait: Annotated[
        float, typer.Option(help="For how many seconds a manager may take to make the account.")
    ] = WAIT,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Make a bundle: a file with which agents come in. Whoever has it can join, and take jobs; it gives no other right."""
    settings, warnings = load(ManagerConfig, config, os.environ, known=known_keys)
    for warning in warnings:
        print(f"copilot: warning: {warning}", file=sys.stderr)
    wish = Wish(
        agents=agents,
        expires=_end(expires),
        projects=frozenset(project or ()),
        server=None if server is None else _address(server),
    )
    public_keys = service_keys_text(settings)
    if (lack := without_keys(settings, public_keys)) is not None:
        print(f"copilot: warning: {lack}", file=sys.stderr)
    bundle, file = new_bundle(wish, settings, public_keys)
    suffix = "user-data" if cloud_init else "conf"
    path = output or Path(f"bundle-{bundle.id}.{suffix}")
    refuse_existing(path)
    text = bundle_text(file, agents)
    asyncio.run(_create(settings, bundle, file.password, wait))
    write_private(path, user_data(text, package) if cloud_init else text)
    if as_json:
        print(json.dumps({"id": bundle.id, "file": str(path), "agents": agents, "expires": bundle.expires}))
        return
    until = "" if bundle.expires is None else f", until {when(bundle.expires)}"
    many = "one agent" if agents == 1 else f"up to {agents} agents"
    use = "give it to a new machine as its user data" if cloud_init else f"copilot-agent --join {path.name}"
    print(
        f"bundle {bundle.id}: lets {many} in{until}; written to {path}. Keep it to yourself. On the agent's machine: {use}"
    )


@app.command("list")
def list_(config: ConfigOption = None, as_json: AsJson = False) -> None:
    """Show all bundles, and who may still come in by them."""
    now = time.time()
    found = asyncio.run(_bundles(load_queue(config)))
    if as_json:
        print(json.dumps([{**_shown(one), "state": _state(one, now)} for one in found]))
        return
    if not found and sys.stdout.isatty():
        print("no bundles: `copilot bundle create`")
    for one in found:
        until = "" if one.expires is None else f", until {when(one.expires)}"
        projects = f", projects {' '.join(sorted(one.projects))}" if one.projects else ""
        print(
            f"bundle {one.id}: {_state(one, now)}; {one.used} of {one.agents} agents have come{until}{projects}"
        )


@app.command()
def revoke(
    bundles: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of bundles.")],
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Have nobody come in by these bundles any more. Who has come stays: see copilot agents revoke."""
    changed = asyncio.run(_revoke(load_queue(config), bundles))
    if as_json:
        print(json.dumps([{"bundle": ident, "ok": True, "changed": news} for ident, news in changed.items()]))
        return
    for ident, news in changed.items():
        print(
            f"bundle {ident}: {'revoked; nobody comes in by it any more' if news else 'there is none that counts'}"
        )


def _end(text: str) -> float | None:
    if text == "never":
        return None
    try:
        return time.time() + _DURATION.convert(text)
    except ValueError:
        raise BadName(f"--expires {text[:40]!r}: expected {_DURATION.expects}, or never") from None


def _address(text: str) -> Address:
    try:
        return ADDRESS.convert(text)
    except ValueError:
        raise BadName(f"--server {text[:100]!r}: expected {ADDRESS.expects}") from None


def _state(bundle: Bundle, now: float) -> str:
    if bundle.revoked:
        return "revoked"
    if bundle.expires is not None and bundle.expires <= now:
        return "expired"
    return "used-up" if bundle.used >= bundle.agents else "open"


def _shown(bundle: Bundle) -> dict[str, object]:
    facts = asdict(bundle)
    del facts["secret_hash"]
    return {**facts, "projects": sorted(bundle.projects)}


async def _create(config: ManagerConfig, bundle: Bundle, password: str, limit: float) -> None:
    async with opened(config) as store:
        await bring_in(store, bundle, password, limit=limit)


async def _bundles(config: SubmitConfig) -> tuple[Bundle, ...]:
    async with opened(config) as store:
        return await store.bundles()


async def _revoke(config: SubmitConfig, idents: list[str]) -> dict[str, bool]:
    async with opened(config) as store:
        return {ident: await store.revoke_bundle(ident) for ident in dict.fromkeys(idents)}
