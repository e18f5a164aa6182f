"""`copilot keys`: keys of components: make them, show what others may know of them, change them, drop old ones.

A private key is never shown.
"""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from copilot.config.kinds import JID
from copilot.errors import BadName, ConfigError
from copilot.protocol.crypto.keys import (
    PrivateKeys,
    PublicKeys,
    agent_keys,
    fingerprint,
    keys_of_2011,
    kid,
    kind,
    new_opening_key,
    public_text,
    service_keys,
    use,
)
from copilot.runtime.keys import change_key_file, load_keys, load_public_keys, new_key_file

app = typer.Typer(help="Make, show, change and drop keys of components.", no_args_is_help=True)


class Component(enum.StrEnum):
    """Whose keys."""

    SERVICE = "service"
    AGENT = "agent"
    V1 = "v1"


MAKE = {Component.SERVICE: service_keys, Component.AGENT: agent_keys, Component.V1: keys_of_2011}

File = Annotated[Path, typer.Argument(metavar="FILE", help="Key file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
PublicKeysFile = Annotated[
    Path | None,
    typer.Option(
        "--public-keys-file", help="File of public keys, to see whose programs have the key only there."
    ),
]


@app.command()
def generate(
    component: Annotated[
        Component,
        typer.Argument(
            help="service: a key that opens and one that signs; agent: one that signs; v1: one that opens, for "
            "services that speak the secure mode of 2011 alone."
        ),
    ],
    file: File,
    as_json: AsJson = False,
) -> None:
    """Make the keys of a component in a new file, which its user alone can read."""
    keys = MAKE[component]()
    new_key_file(file, keys)
    _tell(f"{file}: made", keys.public, as_json=as_json, file=str(file))


@app.command()
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Key file, or file of public keys.")],
    jid: Annotated[
        list[str] | None,
        typer.Option(
            "--jid",
            help="Print public keys as a file of public keys has them, for this Jabber ID; several for a service and "
            "its instances.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the public part of the keys in a file: kid, kind, fingerprint (SHA-256)."""
    if jid:
        names = [_checked(one) for one in jid]
        print(public_text(dict.fromkeys(names, load_keys(file).public)), end="")
    elif _is_public(file):
        known = load_public_keys(file)
        if as_json:
            print(json.dumps({name: _rows(keys) for name, keys in known.items()}))
        for name, keys in () if as_json else known.items():
            print(name)
            print("\n".join(f"  {line}" for line in _lines(keys)))
    else:
        _tell("", load_keys(file).public, as_json=as_json, file=str(file))


@app.command()
def rotate(file: File, as_json: AsJson = False) -> None:
    """Put new keys in front; the old ones stay, and open what comes until they are dropped.

    A manager reads them within 5 s, and tells its agents.
    """

    def change(keys: PrivateKeys) -> PrivateKeys:
        if not keys.opening:
            raise ConfigError(
                f"{file}: the key of an agent, which cannot be changed: have the agent join again"
            )
        new = service_keys() if keys.signing else PrivateKeys((new_opening_key(),))
        return keys.with_new(new)

    keys = change_key_file(file, change)
    told = f"{file}: new keys stand first; instances of the service that run read them within 5 s"
    _tell(told, keys.public, as_json=as_json, file=str(file))


@app.command()
def drop(
    file: File,
    kids: Annotated[
        list[str] | None, typer.Argument(metavar="KID...", help="Keys to drop; none: all but the newest.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    public_keys_file: PublicKeysFile = None,
    as_json: AsJson = False,
) -> None:
    """Drop old keys, after saying who would be locked out."""
    before = load_keys(file)
    gone = _to_drop(before, kids or [], file)
    changed = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    known = {} if public_keys_file is None else load_public_keys(public_keys_file)
    for line in _locked_out(before.public, gone, changed, known):
        print(f"copilot: warning: {line}", file=sys.stderr)
    if gone and not yes and not typer.confirm(f"Drop {', '.join(gone)}?", err=True):
        raise typer.Exit(1)
    keys = change_key_file(file, lambda keys: keys.without(gone)) if gone else before
    told = f"{file}: dropped {', '.join(gone)}" if gone else f"{file}: no old keys"
    _tell(told, keys.public, as_json=as_json, file=str(file), dropped=gone)


def _to_drop(keys: PrivateKeys, kids: Sequence[str], file: Path) -> list[str]:
    """Raises `ConfigError` if one is not there, or none of its kind would be left."""
    public = keys.public
    old = [*map(kid, public.opening[1:]), *map(kid, public.signing[1:])]
    for one in kids:
        if one not in map(kid, public.all):
            raise ConfigError(f"{file}: has no key {one[:70]!r}; `copilot keys show {file}` lists them")
        if one not in old:
            raise ConfigError(
                f"{file}: {one} is the newest of its kind; `copilot keys rotate {file}` makes a newer one"
            )
    return list(dict.fromkeys(kids)) or old


def _locked_out(
    keys: PublicKeys, gone: Sequence[str], changed: datetime, known: dict[str, PublicKeys]
) -> list[str]:
    """Who has only keys that are to go, as far as can be known here."""
    if not gone:
        return []
    since = f"{changed:%Y-%m-%d %H:%M} UTC"
    newest = {kid(key) for key in keys.all} - set(gone)
    told = (
        f"agents that have not talked to a manager since {since}, when the file was changed, and bundles from before know "
        "only older keys: they are locked out if it was these, and have to join again"
    )
    lines = [told]
    for jid, theirs in known.items():
        kids = [kid(key) for key in theirs.opening]
        if set(kids) & set(gone) and kids[0] not in newest:
            lines.append(f"programs that have this file of public keys use a key for {jid} that is to go")
    return lines


def _tell(text: str, keys: PublicKeys, *, as_json: bool, **more: Any) -> None:
    if as_json:
        print(json.dumps({**more, "keys": _rows(keys)}))
        return
    if text:
        print(text)
    print("\n".join(_lines(keys)))


def _rows(keys: PublicKeys) -> list[dict[str, str | int]]:
    return [
        {"kid": kid(key), "kind": kind(key), "use": use(key), "fingerprint": fingerprint(key)}
        for key in keys.all
    ]


def _lines(keys: PublicKeys) -> list[str]:
    return [f"{kid(key)}  {kind(key):<8}  {use(key):<5}  SHA256:{fingerprint(key)}" for key in keys.all]


def _is_public(file: Path) -> bool:
    """Whether the file has public keys. Raises `ConfigError` if it cannot be read."""
    try:
        text = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    return b"PRIVATE KEY-----" not in text


def _checked(jid: str) -> str:
    """A JID as it stands in a file of public keys, with its resource if it has one. Raises `BadName`."""
    account, slash, resource = jid.partition("/")
    try:
        return f"{JID.convert(account)}{slash}{resource}"
    except ValueError:
        raise BadName(f"{jid[:140]!r}: expected {JID.expects}, or one with a resource") from None
