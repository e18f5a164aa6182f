"""What ejabberd does otherwise than Prosody, and what only its own configuration decides."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from copilot.errors import LoginRefused
from copilot.local import certificates
from copilot.protocol.envelope import Element, Envelope
from copilot.transport.base import Connected, Disconnected
from copilot.transport.xmpp import XmppTransport
from tests.contract.transport_fixtures import (  # noqa: F401 - pytest finds the fixtures here
    ServerHub,
    arrived,
    connected,
    ejabberd_hub_fixture,
    event,
)

CAPTURED = Path(__file__).parents[1] / "wire" / "2011"
SESSIONS = 12  # Debian's configuration allows an account 10


def send_raw(transport: XmppTransport, stanza: str) -> None:
    """Send what our own transport never writes."""
    assert transport._connection is not None
    transport._connection._client.send_raw(stanza)


@pytest.mark.parametrize(
    "name", ["want_getJob", "getJob", "runJob", "storeJobOutputDir", "jobDone", "sleep", "ack.of-getJob"]
)
async def test_stanzas_of_2011_arrive_empty(ejabberd_hub: ServerHub, name: str) -> None:
    receiver, to = await ejabberd_hub.connected()
    sender, jid = await ejabberd_hub.connected()
    [path] = CAPTURED.glob(f"{name}.sent-by-*.xml")
    text = re.sub(r" to='[^']*'", f" to='{to}'", path.read_bytes().decode(), count=1)
    text = re.sub(r" from='[^']*'", f" from='{jid}'", text, count=1)
    ident = re.search(r" id='([^']*)'", text)
    send_raw(sender, text)
    got = await arrived(receiver)
    assert got == Envelope(to=to, sender=jid, id=ident and ident[1], kind=got.kind)


async def test_a_body_beside_an_element_is_dropped_and_the_element_passes(ejabberd_hub: ServerHub) -> None:
    transport, jid = await ejabberd_hub.connected()
    info = Element("info", {"command": "_BASE64:cnVuSm9i"}, (Element("job", {"id": "_BASE64:MQ=="}),))
    assert transport.send(Envelope(to=jid, id="i", body=info, element=info, acks=("j", "k"), noack=True))
    assert await arrived(transport) == Envelope(
        to=jid, sender=jid, id="i", element=info, acks=("j", "k"), noack=True
    )


async def test_more_instances_than_usual_may_log_in_and_all_hear_the_bare_jid(
    ejabberd_hub: ServerHub,
) -> None:
    account = await ejabberd_hub.account()
    instances = [await ejabberd_hub.transport(account, f"r{number}") for number in range(SESSIONS)]
    for one in instances:
        await connected(one)
    sender, _ = await ejabberd_hub.connected()
    assert sender.send(Envelope(to=account, id="i"))
    assert [(await arrived(one)).id for one in instances] == ["i"] * SESSIONS


async def test_a_stanza_over_the_servers_limit_is_set_aside(ejabberd_hub: ServerHub) -> None:
    transport, jid = await ejabberd_hub.connected(max_stanza_bytes=2 * 1024 * 1024)
    for size, ident in ((900_000, "fits"), (1_100_000, "too-big")):
        assert transport.send(Envelope(to=jid, id=ident, element=Element("info", {"a": "x" * size})))
        if ident == "fits":
            assert (await arrived(transport)).id == ident
    gone = await event(transport, Disconnected)
    assert "policy-violation" in gone.reason
    assert gone.set_aside == ("too-big",)
    assert await connected(transport) == jid


async def test_a_wrong_password_is_not_tried_again(ejabberd_hub: ServerHub) -> None:
    transport = await ejabberd_hub.transport(await ejabberd_hub.account(), "one", password="wrong")
    for _ in range(2):
        with pytest.raises(LoginRefused, match=r"not-authorized.*Check the account's name and password"):
            await event(transport, Connected)
    assert ejabberd_hub.lines[transport].connections == 1


async def test_a_server_of_an_unknown_authority_is_refused(ejabberd_hub: ServerHub, tmp_path: Path) -> None:
    other = certificates.ensure(tmp_path, ["copilot.internal"]).ca_file
    transport = await ejabberd_hub.transport(await ejabberd_hub.account(), "one", ca_file=other)
    with pytest.raises(LoginRefused, match="Set the CA file"):
        await event(transport, Connected)
