"""What only a real server can show: log-in, certificates, limits, dead links, and the stanzas of 2011."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from slixmpp import ClientXMPP

from copilot.errors import LoginRefused
from copilot.local import certificates
from copilot.local.prosody import Prosody
from copilot.protocol.envelope import Element, Envelope
from copilot.transport import fastpath, xmpp
from copilot.transport.base import Connected, Disconnected, PresenceChanged
from copilot.transport.settings import XmppSettings
from copilot.transport.stanza import NAMESPACE, decode
from copilot.transport.xmpp import XmppTransport
from tests.contract.transport_fixtures import (  # noqa: F401 - pytest finds the fixtures here
    ServerHub,
    arrived,
    connected,
    event,
    prosody_hub_fixture,
    until,
)
from tests.patience import PATIENCE_S

CAPTURED = Path(__file__).parents[1] / "wire" / "2011"


def client(transport: XmppTransport) -> fastpath.FastClient:
    """slixmpp's client of a session that is up."""
    assert transport._connection is not None
    return transport._connection._client


def plugin(transport: XmppTransport, name: str) -> Any:
    """What slixmpp can ask others with."""
    client(transport).register_plugin(name)
    return client(transport).plugin[name]


def big(to: str, size: int, ident: str = "big") -> Envelope:
    return Envelope(to=to, id=ident, body=Element("info", {"a": "x" * size}))


# Log-in


async def test_a_wrong_password_is_not_tried_again(prosody_hub: ServerHub) -> None:
    transport = await prosody_hub.transport(await prosody_hub.account(), "one", password="wrong")
    for _ in range(2):
        with pytest.raises(
            LoginRefused, match=r"not-authorized.*Check the account's name and password"
        ) as refused:
            await event(transport, Connected)
        assert "wrong" not in str(refused.value)
    assert prosody_hub.lines[transport].connections == 1


async def test_a_server_of_an_unknown_authority_is_refused(prosody_hub: ServerHub, tmp_path: Path) -> None:
    other = certificates.ensure(tmp_path, ["copilot.internal"]).ca_file
    for ca_file, named in ((other, re.escape(str(other))), (None, "that this system trusts")):
        transport = await prosody_hub.transport(await prosody_hub.account(), "one", ca_file=ca_file)
        with pytest.raises(LoginRefused, match=f"{named}.*Set the CA file"):
            await event(transport, Connected)


async def test_the_server_makes_up_a_resource_where_none_is_set(prosody_hub: ServerHub) -> None:
    account = await prosody_hub.account()
    transport = await prosody_hub.transport(account, "")
    jid = await connected(transport)
    assert re.fullmatch(rf"{re.escape(account)}/.+", jid)
    assert transport.send(Envelope(to=jid, id="i"))
    assert (await arrived(transport)).to == jid


async def test_without_a_host_every_address_of_the_domain_is_tried(
    prosody_hub: ServerHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = await prosody_hub.transport(await prosody_hub.account(), "one", host="")
    away = await prosody_hub.transport(await prosody_hub.account(), "one")
    await prosody_hub.lines[away].down()
    domain, ports = prosody_hub.server.domain, [prosody_hub.lines[one].port for one in (away, transport)]

    async def records(*_: object) -> list[tuple[str, str, str, int]]:
        return [("xmpp-client", domain, "127.0.0.1", port) for port in ports]

    monkeypatch.setattr(fastpath.FastClient, "get_dns_records", records)  # the domain is in no DNS
    await connected(transport)


class PlainProsody(Prosody):
    """One that lets clients in without TLS."""

    def _write_configuration(self) -> None:
        super()._write_configuration()
        file = self.directory / "prosody.cfg.lua"
        file.write_text(
            file.read_text().replace("c2s_require_encryption = true", "c2s_require_encryption = false")
        )


async def test_without_tls_it_still_logs_in_by_scram(open_directory: Path) -> None:
    prosody = PlainProsody(open_directory / "plain")
    await prosody.start()
    try:
        jid = await prosody.register("a", "secret")
        transport = XmppTransport(
            XmppSettings(
                jid=jid, password="secret", resource="r", host="127.0.0.1", port=prosody.port, tls="off"
            )
        )
        assert await connected(transport) == f"{jid}/r"
        assert "starttls" not in client(transport).features
        await transport.close()
    finally:
        await prosody.stop()


# Lines that break, servers that are away


async def test_an_outage_is_told_once_however_many_attempts_it_takes(prosody_hub: ServerHub) -> None:
    transport, jid = await prosody_hub.connected()
    line = prosody_hub.lines[transport]
    await line.down()
    assert "lost" in (await event(transport, Disconnected)).reason
    task = transport._task
    await until(lambda: transport._connection is not None)
    first = transport._connection
    await until(lambda: transport._connection not in (None, first))
    assert (transport.counts.begun, transport.counts.lost, transport.counts.up) == (1, 1, False)
    await line.up()
    assert await connected(transport) == jid
    assert transport._task is task
    counts = transport.counts
    assert (counts.begun, counts.lost, counts.login.count, counts.up) == (2, 1, 2, True)
    assert counts.failed > 0
    assert counts.login.sum > 0


async def test_an_outage_that_lasts_is_an_error_for_the_operator(
    prosody_hub: ServerHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(xmpp, "LONG_OUTAGE_S", 0.0)
    transport, _ = await prosody_hub.connected()
    await prosody_hub.lines[transport].down()
    await until(lambda: "is out of reach for 0 s now" in caplog.text)
    assert [record.levelname for record in caplog.records if "out of reach" in record.message] == ["ERROR"]


async def test_a_server_that_is_not_there_yet_is_told_and_waited_for(prosody_hub: ServerHub) -> None:
    transport = await prosody_hub.transport(await prosody_hub.account(), "one")
    line = prosody_hub.lines[transport]
    await line.down()
    gone = await event(transport, Disconnected)
    assert re.search(rf"cannot reach 127.0.0.1:{line.port}: .*Connect call failed", gone.reason)
    await line.up()
    await connected(transport)


async def test_a_dead_link_is_found_by_pings(prosody_hub: ServerHub) -> None:
    transport, jid = await prosody_hub.connected(ping_interval=0.05, ping_timeout=0.1, login_timeout=2.0)
    line = prosody_hub.lines[transport]
    line.freeze()
    assert "did not answer a ping within 0.1 s" in (await event(transport, Disconnected)).reason
    line.thaw()
    assert await connected(transport) == jid


async def test_pings_leave_a_live_session_alone(prosody_hub: ServerHub) -> None:
    transport, jid = await prosody_hub.connected(ping_interval=0.001)
    for number in range(50):
        assert transport.send(Envelope(to=jid, id=f"i{number}"))
        assert (await arrived(transport)).id == f"i{number}"


async def test_a_stanza_over_the_servers_limit_is_set_aside(prosody_hub: ServerHub) -> None:
    transport, jid = await prosody_hub.connected(max_stanza_bytes=2 * 1024 * 1024)
    assert transport.send(big(jid, 50_000, "fits"))
    assert (await arrived(transport)).id == "fits"
    assert transport.send(big(jid, 1_100_000, "too-big"))
    assert transport.send(Envelope(to=jid, id="after"))
    gone = await event(transport, Disconnected)
    assert "policy-violation" in gone.reason
    assert gone.set_aside == ("too-big",)
    assert await connected(transport) == jid
    assert transport.send(Envelope(to=jid, id="after"))
    assert (await arrived(transport)).id == "after"


async def test_a_full_buffer_takes_nothing_until_it_has_drained(prosody_hub: ServerHub) -> None:
    sender, jid = await prosody_hub.connected(buffer_bytes=256 * 1024)
    prosody_hub.lines[sender].freeze()
    sent = 0
    while sender.send(big(jid, 50_000, f"i{sent}")):
        sent += 1
        assert sent < 1000
        await asyncio.sleep(0)
    assert sent > 4
    assert sender.counts.buffered() > 256 * 1024
    prosody_hub.lines[sender].thaw()
    assert [(await arrived(sender)).id for _ in range(sent)] == [f"i{number}" for number in range(sent)]
    assert sender.send(big(jid, 50_000, "again"))
    assert (await arrived(sender)).id == "again"
    assert sender.counts.buffered() == sender.counts.unread() == 0


@pytest.mark.parametrize(("size", "writes"), [(10, 1), (fastpath.GATHERED_BYTES // 4, 2)])
async def test_what_is_sent_in_one_turn_is_written_in_few_pieces(
    prosody_hub: ServerHub, monkeypatch: pytest.MonkeyPatch, size: int, writes: int
) -> None:
    sender, _ = await prosody_hub.connected()
    receiver, to = await prosody_hub.connected()
    written: list[str | bytes] = []
    write = client(sender).send_raw
    monkeypatch.setattr(client(sender), "send_raw", lambda data: (written.append(data), write(data)))
    for number in range(5):
        assert sender.send(big(to, size, str(number)))
    assert [(await arrived(receiver)).id for _ in range(5)] == list("01234")
    assert len(written) == writes


async def test_what_is_gathered_when_the_connection_ends_does_no_harm(prosody_hub: ServerHub) -> None:
    transport, jid = await prosody_hub.connected()
    assert transport.send(big(jid, 10))
    client(transport).abort()
    assert (await event(transport, Disconnected)).reason
    assert await connected(transport) == jid


async def test_a_slow_component_makes_the_senders_wait(prosody_hub: ServerHub) -> None:
    receiver, jid = await prosody_hub.connected(inbox_events=10, ping_interval=0.01, ping_timeout=0.5)
    sender, _ = await prosody_hub.connected(buffer_bytes=64 * 1024 * 1024)
    for number in range(300):
        assert sender.send(big(jid, 10_000, f"i{number}"))
    await plugin(sender, "xep_0199").ping()  # the server has read them all
    assert 10 <= len(receiver._inbox) < 100
    waiting = client(receiver).scheduled_events  # for answers to pings, which lie where we do not read
    await until(lambda: [name for name in waiting if name.startswith("IqTimeout")])
    [ping] = [name for name in waiting if name.startswith("IqTimeout")]
    await until(lambda: ping not in waiting)
    for number in range(300):
        assert (await arrived(receiver)).id == f"i{number}"


async def test_close_sends_what_was_handed_over(prosody_hub: ServerHub) -> None:
    receiver, jid = await prosody_hub.connected()
    sender, _ = await prosody_hub.connected()
    for number in range(100):
        assert sender.send(big(jid, 10_000, f"i{number}"))
    await sender.close()
    assert [(await arrived(receiver)).id for _ in range(100)] == [f"i{number}" for number in range(100)]


# What others see of us


async def test_it_answers_pings_versions_and_feature_lists(prosody_hub: ServerHub) -> None:
    _, jid = await prosody_hub.connected(features=("lease", "slots"), name="Co-Pilot agent", version="9.9")
    asker, _ = await prosody_hub.connected()
    await plugin(asker, "xep_0199").ping(jid, timeout=PATIENCE_S)
    info = (await plugin(asker, "xep_0030").get_info(jid=jid, timeout=PATIENCE_S))["disco_info"]
    wanted = {NAMESPACE, f"{NAMESPACE}#lease", f"{NAMESPACE}#slots", "urn:xmpp:ping", "jabber:iq:version"}
    assert wanted <= set(info["features"])
    assert {identity[:2] for identity in info["identities"]} == {("client", "bot")}
    version = (await plugin(asker, "xep_0092").get_version(jid, timeout=PATIENCE_S))["software_version"]
    assert (version["name"], version["version"], version["os"]) == ("Co-Pilot agent", "9.9", "")


async def test_strangers_cannot_subscribe_to_our_presence(prosody_hub: ServerHub) -> None:
    transport, jid = await prosody_hub.connected()
    stranger, _ = await prosody_hub.connected()
    client(stranger).send_raw(f"<presence to='{jid.partition('/')[0]}' type='subscribe'/>")
    assert stranger.send(Envelope(to=jid, id="i"))
    assert (await arrived(transport)).id == "i"
    assert transport.send(Envelope(to=client(stranger).boundjid.full, id="j"))
    assert (await arrived(stranger)).id == "j"


async def test_an_iq_nested_beyond_reason_does_no_harm(prosody_hub: ServerHub) -> None:
    transport, jid = await prosody_hub.connected()
    sender, _ = await prosody_hub.connected()
    deep = "<a xmlns='x'>" + "<a>" * 20_000 + "</a>" * 20_000 + "</a>"
    for stanza in (
        f"<iq id='1' type='get' to='{jid}'>{deep}</iq>",
        f"<message to='{jid}'><body>{deep}</body></message>",
    ):
        client(sender).send_raw(stanza)
    assert sender.send(Envelope(to=jid, id="i"))
    assert (await arrived(transport)).body is None
    assert (await arrived(transport)).id == "i"


# 2011


@pytest.mark.parametrize(
    "name", ["want_getJob", "getJob", "runJob", "storeJobOutputDir", "jobDone", "sleep", "ack.of-getJob"]
)
async def test_stanzas_of_2011_pass_the_server_unchanged(prosody_hub: ServerHub, name: str) -> None:
    receiver, to = await prosody_hub.connected()
    sender, jid = await prosody_hub.connected()
    [path] = CAPTURED.glob(f"{name}.sent-by-*.xml")
    text = re.sub(r" to='[^']*'", f" to='{to}'", path.read_bytes().decode(), count=1)
    text = re.sub(r" from='[^']*'", f" from='{jid.partition('/')[0]}'", text, count=1)
    client(sender).send_raw(text)
    got = await arrived(receiver)
    wanted = decode(ElementTree.fromstring(f"<s xmlns='jabber:client'>{text}</s>")[0], own=to, now=0.0)
    assert got.sender == jid
    assert (got.id, got.body, got.acks, got.to) == (wanted.id, wanted.body, wanted.acks, to)
    assert got.body is not None or got.acks


# slixmpp's private parts


def test_slixmpp_has_the_private_parts_of_the_short_way() -> None:
    assert fastpath.has_short_way()
    assert "_spawn_event" in ClientXMPP.__mro__[2].__dict__
    assert callable(ClientXMPP.send_raw)


@pytest.mark.parametrize("short_way", [True, False])
async def test_messages_presence_and_stream_errors_come_by_either_way(
    prosody_hub: ServerHub,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    short_way: bool,
) -> None:
    monkeypatch.setattr(fastpath, "has_short_way", lambda: short_way)
    transport, jid = await prosody_hub.connected(max_stanza_bytes=2 * 1024 * 1024)
    other, other_jid = await prosody_hub.connected()
    assert ("long way" in caplog.text) is not short_way
    other.announce(jid.partition("/")[0])
    assert await event(transport, PresenceChanged) == PresenceChanged(other_jid, available=True)
    assert other.send(Envelope(to=jid, id="i", body=Element("info", {"command": "c"}), acks=("j",)))
    got = await arrived(transport)
    assert (got.id, got.body, got.acks) == ("i", Element("info", {"command": "c"}), ("j",))
    assert transport.send(big(jid, 1_100_000))
    assert (await event(transport, Disconnected)).set_aside == ("big",)
