"""What a program of 2011 says and hears in a step."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from xml.etree.ElementTree import fromstring

from tests.conversations.peer import Peer
from tests.conversations.stage import Stage
from tests.conversations.stanza import Stanza, Writing, captured, namespaced, readdressed

SIDES = {"agent": "agent", "manager": "jm"}  # in the names of captured stanzas
OTHER_SIDE = {"agent": "jm", "manager": "agent"}


def say(stage: Stage, peer: Peer, command: str, values: Mapping[str, str]) -> None:
    """Say `command`; values that begin with @ are about the message."""
    message_id = values.get("@id") or str(uuid.uuid4())
    writing = Writing(
        random=stage.random,
        prefix=values.get("@prefix", "_BASE64:"),
        carriage=values.get("@carriage", "body"),
        delay=_delay(peer, float(values["@delay"])) if "@delay" in values else "",
        secured=None if "@clear" in values else peer.secured,
    )
    peer.modern = writing.carriage != "body"
    addresses = {"from": peer.jid, "to": _receiver(stage, peer, command, values), "id": message_id}
    own = {name: value for name, value in values.items() if not name.startswith("@")}
    peer.say(writing.message(addresses, {"command": command, **own}), message_id)


def say_captured(stage: Stage, peer: Peer, kind: str, command: str, values: Mapping[str, str]) -> None:
    """Say what a program of 2011 said, byte for byte but for JIDs and `values`."""
    text = captured(command, SIDES[kind])
    addresses = {"from": peer.jid, "to": _receiver(stage, peer, command, values)}
    peer.say(readdressed(text, addresses, values), str(fromstring(text).get("id")))


async def hear(stage: Stage, peer: Peer, wanted: Mapping[str, str]) -> None:
    """The next message says at least this."""
    stanza = await peer.hear()
    about = {"@from": stanza.sender, "@to": stanza.to, "@carriage": stanza.carriage}
    about["@sealed"] = str(int(stanza.sealed))
    compare({**stanza.values, **about}, wanted, stage)


async def hear_captured(stage: Stage, peer: Peer, kind: str, command: str, values: Mapping[str, str]) -> None:
    """The next message says at least what the captured one did, but for `values`."""
    model = Stanza.read(fromstring(namespaced(captured(command, OTHER_SIDE[kind])))[0])
    await hear(stage, peer, {**model.values, **values})


def compare(
    found: Mapping[str, str], wanted: Mapping[str, str], stage: Stage, *, exactly: bool = False
) -> None:
    """Exact text, `*` for any, `-` for none, `?name` for any, which gets that name; `exactly`: and nothing else."""
    for name, want in wanted.items():
        value = found.get(name)
        if want.startswith("?") and value is not None:
            stage.variables[want[1:]] = value
            continue
        met = value is None if want == "-" else value is not None and want in ("*", value)
        assert met, f"{name}: expected {want!r}, found {value!r}; all of it: {dict(found)}"
    assert not exactly or found.keys() == wanted.keys(), f"found {dict(found)}"


def _receiver(stage: Stage, peer: Peer, command: str, values: Mapping[str, str]) -> str:
    """As in 2011: a `want_...` goes to all instances, the rest to where the last answer came from."""
    if "@to" in values:
        return values["@to"]
    if command.startswith("want_"):
        return stage.variables["manager"]
    assert peer.last is not None, "nobody has said anything yet: name the receiver with @to="
    return peer.last.sender


def _delay(peer: Peer, seconds: float) -> str:
    """What a server adds to a message that it has kept (XEP-0203)."""
    stamp = datetime.now(UTC) - timedelta(seconds=seconds)
    domain = peer.jid.partition("@")[2]
    return f"<delay xmlns='urn:xmpp:delay' from='{domain}' stamp='{stamp:%Y-%m-%dT%H:%M:%SZ}'/>"
