"""`copilot users`: accounts of people who submit from afar, or look after all jobs (decision 17)."""

from __future__ import annotations

import asyncio
import base64
import getpass
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from copilot.cli.known import known_keys
from copilot.cli.looking import opened
from copilot.cli.options import AsJson, ConfigOption
from copilot.client.story import when
from copilot.client.users import bring_in, configuration, new_user, people, revoke
from copilot.config import load
from copilot.config.certificate import certificate_line
from copilot.config.groups import QueuePlaceSettings
from copilot.config.kinds import ADDRESS, Address, duration
from copilot.errors import BadName, ConfigError
from copilot.job import one_line
from copilot.jobmanager.config import ManagerConfig, SubmitConfig
from copilot.local.writing import write_file
from copilot.monitor.dashboard.passwords import LEAST, BadPassword, line
from copilot.protocol.crypto import v2
from copilot.protocol.crypto.keys import public_text
from copilot.protocol.envelope import bare
from copilot.roles import Account, Standing
from copilot.runtime.keys import load_keys
from copilot.store.base import Store

app = typer.Typer(help="Let people in who submit from afar, list them, revoke them.", no_args_is_help=True)

WAIT = 30.0  # s for a manager to make the account

_DURATION = duration(60)
T = TypeVar("T")


@app.command()
def add(  # noqa: PLR0917  # one parameter per option
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the account, or its whole Jabber ID.")],
    role: Annotated[
        str, typer.Option(help="submitter (own jobs), operator or admin (all jobs).")
    ] = "submitter",
    project: Annotated[
        list[str] | None, typer.Option(help="Project whose jobs are theirs, too. Repeatable.")
    ] = None,
    expires: Annotated[str, typer.Option(help="For how long, like 90d; or never.")] = "never",
    server: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Where they reach the XMPP server, if not where the manager does."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Where to write it (0600). (default: NAME.conf)"),
    ] = None,
    wait: Annotated[
        float, typer.Option(help="For how many seconds a manager may take to make the account.")
    ] = WAIT,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Make an account for a person, and the configuration file that goes with it."""
    settings, warnings = load(ManagerConfig, config, os.environ, known=known_keys)
    for warning in warnings:
        print(f"copilot: warning: {warning}", file=sys.stderr)
    jid = _jid(name, settings)
    common = common_settings(settings, server)
    signs = bool(common["SUBMIT_SECURE_MODE"])  # a key on record means that nothing in clear is heard
    user = new_user(jid, _standing(role), frozenset(project or ()), _end(expires), signs=signs)
    path = output or Path(f"{jid.partition('@')[0]}.conf")
    if path.exists():
        raise ConfigError(f"{path} is there already; name another file with -o")
    try:
        write_file(path, configuration(user, common), mode=0o600)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        asyncio.run(_with_store(settings, lambda store: bring_in(store, user, limit=wait)))
    except BaseException:
        path.unlink(missing_ok=True)  # it is good for nothing
        raise
    if as_json:
        print(json.dumps({**_facts(user.account), "file": str(path)}))
    else:
        holds = "a password and a key" if signs else "a password"
        print(f"{jid}: may log in; {path} is for that person alone: it holds {holds}")


@app.command("list")
def list_(config: ConfigOption = None, as_json: AsJson = False) -> None:
    """Show all people with accounts, and what they may do."""
    found = asyncio.run(_with_store(_queue(config), people))
    if as_json:
        print(json.dumps([_facts(one) for one in found]))
        return
    if not found and sys.stdout.isatty():
        print("nobody has an account: `copilot users add`")
    for one in found:
        projects = f", projects {' '.join(sorted(one.projects))}" if one.projects else ""
        until = "" if one.expires is None else f", until {when(one.expires)}"
        state = "" if one.counts(time.time()) else " (revoked)" if one.revoked else " (expired)"
        print(f"{one.jid}: {one.standing}{state}{projects}{until}")


@app.command("revoke")
def revoke_(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names or Jabber IDs.")],
    reason: Annotated[str, typer.Option(help="Why, for those who look later.")] = "",
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Have these people do nothing any more, from this moment on. Their jobs on the queue stay: see copilot jobs cancel."""
    settings, _ = load(ManagerConfig, config, os.environ, known=known_keys)
    jids = [_jid(name, settings) for name in dict.fromkeys(names)]

    async def all_of_them(store: Store) -> dict[str, bool]:
        return {jid: await revoke(store, jid, reason=one_line(reason)) for jid in jids}

    changed = asyncio.run(_with_store(settings, all_of_them))
    if as_json:
        print(json.dumps([{"jid": jid, "ok": True, "changed": news} for jid, news in changed.items()]))
        return
    for jid, news in changed.items():
        print(f"{jid}: {'revoked' if news else 'was revoked before'}")


@app.command()
def password(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name or Jabber ID.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take it away: no login any more.")] = False,
    config: ConfigOption = None,
) -> None:
    """Give a person a password for the dashboard, which is not that of the Jabber account. It is asked for, or read from standard input."""
    settings, _ = load(ManagerConfig, config, os.environ, known=known_keys)
    jid = _jid(name, settings)

    async def account(store: Store) -> Account:
        found = await store.account(jid)
        if found is None or found not in await people(store) or not found.counts(time.time()):
            raise BadName(f"{jid} is no user: 'copilot users list' shows who is")
        return found

    known = asyncio.run(_with_store(settings, account))
    try:
        kept = "" if remove else line(_asked(), known.created)
    except BadPassword as error:
        raise BadName(str(error)) from None
    asyncio.run(_with_store(settings, lambda store: store.set_password(jid, kept)))
    print(f"{jid}: {'can log in to the dashboard no more' if remove else 'can log in to the dashboard'}")


def _asked() -> str:
    if not sys.stdin.isatty():
        typed = sys.stdin.readline().rstrip("\n")
        if not typed:
            raise BadName("no password was on the standard input: expected one line; nothing was changed")
        return typed
    first = getpass.getpass(f"Password for the dashboard, of {LEAST} characters at least: ")
    if first != getpass.getpass("Once more: "):
        raise BadName("these were two different passwords; nothing was changed")
    return first


async def _with_store(config: QueuePlaceSettings, work: Callable[[Store], Awaitable[T]]) -> T:
    async with opened(config) as store:
        return await work(store)


def _queue(config: Path | None) -> SubmitConfig:
    return load(SubmitConfig, config, os.environ, known=known_keys)[0]


def _jid(name: str, config: ManagerConfig) -> str:
    jid = bare(name if "@" in name else f"{name}@{config.jabber_domain}")
    services = (config.jid, config.mon_jabber_address, config.sm_jabber_address, config.hb_chat_owner)
    if jid in {bare(one) for one in services if one is not None}:
        raise BadName(f"{jid} is the account of a service")
    if jid.partition("@")[2] != config.jabber_domain.lower():
        raise BadName(f"{name[:200]!r}: expected a name, or a Jabber ID of {config.jabber_domain}")
    return jid


def _standing(role: str) -> Standing:
    if role not in ("submitter", "operator", "admin"):
        raise BadName(f"--role {role[:40]!r}: expected submitter, operator or admin")
    return Standing(role)


def _end(text: str) -> float | None:
    if text == "never":
        return None
    try:
        return time.time() + _DURATION.convert(text)
    except ValueError:
        raise BadName(f"--expires {text[:40]!r}: expected {_DURATION.expects}, or never") from None


def common_settings(config: ManagerConfig, server: str | None = None) -> Mapping[str, str]:
    """What all people of this deployment need. Raises `ConfigError`."""
    host, port = (config.jabber_server, config.jabber_port) if server is None else _address(server)
    keys = _service_keys(config)
    return {
        "JM_JABBER_ADDRESS": config.jid,
        "SUBMIT_JABBER_SERVER": host,
        "SUBMIT_JABBER_PORT": str(port),
        "SUBMIT_JABBER_TLS": config.jabber_tls.value,
        "SUBMIT_JABBER_CA": "" if config.jabber_ca_file is None else certificate_line(config.jabber_ca_file),
        "SUBMIT_SECURE_MODE": "1" if config.secure_mode or keys else "",
        "SUBMIT_SERVICE_KEYS": keys,
    }


def _service_keys(config: ManagerConfig) -> str:
    """The public keys of the job manager, whose instances make them on their first start in secure mode."""
    if not config.secure_mode and not (config.key_file.exists() and v2.SUITE in config.secure_suites):
        return ""
    text = public_text({config.jid: load_keys(config.key_file).public})
    return base64.b64encode(text.encode()).decode("ascii")


def _address(text: str) -> Address:
    try:
        return ADDRESS.convert(text)
    except ValueError:
        raise BadName(f"--server {text[:100]!r}: expected {ADDRESS.expects}") from None


def _facts(account: Account) -> dict[str, object]:
    return {
        "jid": account.jid,
        "role": account.standing,
        "projects": sorted(account.projects),
        "created": account.created or None,
        "expires": account.expires,
        "revoked": account.revoked,
    }
