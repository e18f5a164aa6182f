"""Keys of a conversation: those of the captured message of 2011, so that none has to be made."""

from __future__ import annotations

from pathlib import Path

from copilot.local.process import give, unprivileged_user
from copilot.protocol.crypto.keys import PrivateKeys, PublicKeys, private_text, public_text
from tests.conversations.secure import Consumer, Provider, Secured, read_public_keys
from tests.conversations.stage import Stage
from tests.unit.protocol.crypto.vectors import key

OWNERS = {"manager": "jm", "keymanager": "km"}  # a service, and whose key it has


async def make(stage: Stage, services: list[str]) -> None:
    """Key files of these services, `{<service>.key}`, and a file of their public keys, `{public.keys}`: by the bare JID and by
    that of each instance, as programs of 2011 look them up."""
    known: dict[str, PublicKeys] = {}
    for name in services:
        account = await stage.account(name)
        keys = PrivateKeys((key(OWNERS[name]),))
        file = stage.directory / f"{name}.key"
        file.write_text(private_text(keys))
        file.chmod(0o600)
        give(file, unprivileged_user())
        stage.variables[f"{name}.key"] = str(file)
        full = stage.variables.get(f"{name}.full", f"{account.jid}/{name}")
        known |= {account.jid: keys.public, full: keys.public}
    public = stage.directory / "public.keys"
    public.write_text(public_text(known))
    public.chmod(0o644)
    stage.variables["public.keys"] = str(public)


def secured(stage: Stage, kind: str) -> Secured:
    """What a program of 2011 in secure mode goes by."""
    if kind in OWNERS:
        return Provider(key(OWNERS[kind]))
    return Consumer(read_public_keys(Path(stage.variables["public.keys"]).read_text()))
