"""The doctor and XMPP servers: good ones, and ones that are broken in one way for each check."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import socket
import struct
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar, cast
from xml.etree.ElementTree import Element as Xml
from xml.etree.ElementTree import SubElement

import pytest

import copilot
from copilot.doctor.findings import Verdict
from copilot.doctor.xmpp import offline
from copilot.local import certificates
from copilot.local.ejabberd import Ejabberd
from copilot.local.prosody import Prosody
from copilot.transport.probe import Probe, probing
from copilot.transport.rooms import MUC
from copilot.transport.settings import XmppSettings
from tests.integration.doctor.setups import BY_TIME, PASSWORD, Setup, managed, session, unwell

Server = TypeVar("Server", Prosody, Ejabberd)

WARNING, FAULT, OK = Verdict.WARNING, Verdict.FAULT, Verdict.OK
STRIP = """
-- Takes elements out of what one account says to itself, and drops what is said to another.
module:hook("message/full", function (event)
    local to = event.stanza.attr.to
    if to:match("^strip@") then event.stanza:remove_children("x", "urn:copilot:doctor") end
    if to:match("^drop@") then return true end
end, 1000)
"""


class Careless(Prosody):
    """As it comes from a distribution, and worse."""

    def _write_configuration(self) -> None:
        super()._write_configuration()
        modules = self.directory / "modules"
        modules.mkdir(exist_ok=True)
        (modules / "mod_strip.lua").write_text(STRIP)
        file = self.directory / "prosody.cfg.lua"
        text = file.read_text()
        for old, new in (
            ('"limits"', '"limits", "register", "register_ibr", "offline", "strip"'),
            ('modules_disabled = { "offline", ', "modules_disabled = { "),
            ("allow_registration = false", "allow_registration = true"),
            ("c2s_require_encryption = true", "c2s_require_encryption = false"),
            ("nagle = false, ", "nagle = true, "),
            ('rate = "1mb/s"', 'rate = "10kb/s"'),
            ("c2s_stanza_size_limit = 1024 * 1024", "c2s_stanza_size_limit = 20000"),
        ):
            assert old in text, old
            text = text.replace(old, new)
        file.write_text(f'plugin_paths = {{ "{modules}" }}\n{text}')


class OfDebian(Ejabberd):
    """With the limits and mailboxes that Debian's package has; and anybody may register."""

    def _write_configuration(self) -> None:
        super()._write_configuration()
        file = self.directory / "ejabberd.yml"
        text = file.read_text()
        for old, new in (
            ("rate: 1000000", "rate: 3000"),
            ("burst_size: 2000000", "burst_size: 20000"),
            ("max_stanza_size: 1048576", "max_stanza_size: 20000"),
            ("modules:\n", "modules:\n  mod_offline: {}\n  mod_register: {}\n"),
            ("starttls_required: true", "starttls_required: false"),
        ):
            assert old in text, old
            text = text.replace(old, new, 1)
        file.write_text(text)


class Certified(Prosody):
    """With a certificate of these names, made at another time."""

    def __init__(self, directory: Path, names: list[str], age: datetime.timedelta) -> None:
        super().__init__(directory)
        self._names, self._age = names, age

    def _write_configuration(self) -> None:
        super()._write_configuration()
        made = datetime.datetime.now(datetime.UTC) - self._age
        for name in ("server.pem", "server.key"):
            (self.directory / "tls" / name).unlink()
        files = certificates.ensure(self.directory / "tls", self._names, now=made)
        os.chown(files.key_file, (self.directory / "data").stat().st_uid, -1)


@contextlib.asynccontextmanager
async def running(server: Server) -> AsyncIterator[Server]:
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def good(prosody: Prosody, tmp_path: Path) -> Setup:
    """A manager of an account of this test alone, which is an admin, on the Prosody of the run."""
    setup = Setup(tmp_path)
    await managed(setup, prosody, f"boss-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}")
    setup.manager(HB_CHAT_ROOM=f"lounge-{uuid.uuid4().hex}")
    return setup


@contextlib.asynccontextmanager
async def probe_of(server: Prosody | Ejabberd, account: str, **changes: object) -> AsyncIterator[Probe]:
    """A session of that account."""
    base = {"host": "127.0.0.1", "port": server.port, "ca_file": server.ca_file, "resource": "other"}
    jid = f"{account}@{server.domain}"
    made = XmppSettings(jid=jid, password=PASSWORD, **(base | changes))  # type: ignore[arg-type]
    async with probing(made) as probe:
        yield probe


async def test_a_good_prosody_has_no_fault(good: Setup) -> None:
    found = await good.examined("xmpp")
    left = unwell(found, but=[*BY_TIME, "xmpp-rooms"])  # nobody has made the room
    assert not left
    assert found["xmpp-rooms"].verdict is WARNING
    assert "there is no chat room" in found["xmpp-rooms"].findings[0].seen
    assert "both ways" in found["xmpp-carriage"].findings[0].seen


async def test_a_good_ejabberd_has_no_fault_and_its_carriage_is_told(
    ejabberd: Ejabberd, tmp_path: Path
) -> None:
    setup = Setup(tmp_path)
    await managed(setup, ejabberd, f"boss-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}")
    names = [f"xmpp-{name}" for name in ("reach", "stanza", "offline", "bare", "carriage", "rooms", "admin")]
    found = await setup.examined(*names, "clock")
    assert not unwell(found, but=["xmpp-rooms"])
    assert "taken out" in found["xmpp-carriage"].findings[0].seen


async def test_a_port_where_nobody_listens(good: Setup) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    good.manager(JM_JABBER_PORT=port)
    assert f"127.0.0.1:{port}" in await good.fault("xmpp-reach")


async def test_a_server_that_says_nothing_costs_its_time_once(good: Setup) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        good.manager(JM_JABBER_PORT=other.getsockname()[1])
        found = await good.examined("xmpp", "clock", "versions")
    assert set(unwell(found)) == {"xmpp-reach", "xmpp-login"}
    assert sum(one.seconds for one in found.values() if one.check in ("xmpp-rate", "clock", "versions")) < 2


async def test_a_domain_that_is_not_served(good: Setup, prosody: Prosody) -> None:
    good.manager(JM_JABBER_DOMAIN="elsewhere.example")
    assert "host-unknown" in await good.fault("xmpp-reach")


async def test_a_wrong_password(good: Setup) -> None:
    good.manager(JM_JABBER_PASSWORD="wrong")
    assert "refused the account" in await good.fault("xmpp-login")


async def test_who_was_refused_is_not_tried_again(good: Setup, prosody: Prosody) -> None:
    good.manager(JM_JABBER_ID=f"nobody-{uuid.uuid4().hex}")
    log = prosody.directory / "prosody.log"
    before = log.stat().st_size
    found = await good.examined("xmpp")
    assert set(unwell(found)) == {"xmpp-login"}  # the others say that they could not look
    with log.open("rb") as file:
        file.seek(before)
        assert file.read().count(b"Authentication failed") <= 1


async def test_a_certificate_that_another_authority_has_signed(good: Setup, tmp_path: Path) -> None:
    other = certificates.ensure(tmp_path / "other", ["copilot.internal"]).ca_file
    good.manager(JM_JABBER_CA_FILE=other)
    assert "refused" in await good.fault("xmpp-certificate")


async def test_a_certificate_that_expires_soon_or_has_by_our_clock(good: Setup) -> None:
    assert "expires in 5" in await good.fault("xmpp-certificate", WARNING, ahead=359.5 * 86400)
    assert "expired 1" in await good.fault("xmpp-certificate", ahead=366.5 * 86400)


@pytest.mark.parametrize(
    ("names", "days", "seen"),
    [(["copilot.internal"], 400, "expired"), (["another.example"], 0, "not valid for 'copilot.internal'")],
)
async def test_a_certificate_that_has_expired_or_is_for_another_name(
    good: Setup, prosody: Prosody, open_directory: Path, names: list[str], days: int, seen: str
) -> None:
    async with running(Certified(open_directory / "own", names, datetime.timedelta(days=days))) as server:
        good.manager(**session("JM", server, "jm"))
        assert seen in await good.fault("xmpp-certificate")


async def says_nothing(_: Probe) -> bool:
    """What a server says that does not tell of its mailboxes."""
    return False


async def test_a_careless_prosody(
    prosody: Prosody, open_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(Careless(open_directory / "careless")) as server:
        setup = Setup(tmp_path)
        await managed(setup, server, "jm")
        assert "without TLS" in await setup.fault("xmpp-reach", WARNING)
        assert "can make an account" in await setup.fault("xmpp-registration", WARNING)
        assert "does not offer it add-user" in await setup.fault("xmpp-admin", WARNING)
        assert "policy-violation" in await setup.fault("xmpp-stanza")
        assert "keeps messages" in await setup.fault("xmpp-offline")
        monkeypatch.setattr(offline, "_says", says_nothing)
        assert "one came with the next log-in" in await setup.fault("xmpp-offline")
        assert not list((server.directory / "data").glob("*/offline/*")), "the message was taken away again"
        async with probe_of(server, "jm", resource="manager"):  # then nobody can see it without being told
            assert (await setup.examined("xmpp-offline"))["xmpp-offline"].verdict is OK
        assert "of 12 times" in await setup.fault("xmpp-nagle", WARNING)
        assert (await setup.examined("xmpp-rate"))["xmpp-rate"].verdict is not FAULT  # it is a service
        for account, check, seen in (
            ("pilot", "xmpp-rate", "kB/s of pilot@"),
            ("strip", "xmpp-carriage", "takes elements out"),
            ("drop", "xmpp-carriage", "did not come back"),
        ):
            await server.register(account, PASSWORD)
            setup.manager(JM_JABBER_ID=account)
            assert seen in await setup.fault(check)


async def test_an_ejabberd_as_debian_has_it(ejabberd: Ejabberd, open_directory: Path, tmp_path: Path) -> None:
    async with running(OfDebian(open_directory / "debian")) as server:
        setup = Setup(tmp_path)
        await managed(setup, server, "jm")
        assert "without TLS" in await setup.fault("xmpp-reach", WARNING)
        assert "can make an account" in await setup.fault("xmpp-registration", WARNING)
        assert "does not offer it add-user" in await setup.fault("xmpp-admin", WARNING)
        assert "policy-violation" in await setup.fault("xmpp-stanza")
        assert "keeps messages" in await setup.fault("xmpp-offline")
        await server.register("pilot", PASSWORD)
        setup.manager(JM_JABBER_ID="pilot")
        assert "kB/s of pilot@" in await setup.fault("xmpp-rate")


async def test_a_client_of_a_person_with_a_higher_priority(good: Setup, prosody: Prosody) -> None:
    account = f"jm-{uuid.uuid4().hex}"
    await prosody.register(account, PASSWORD)
    good.manager(JM_JABBER_ID=account)
    assert (await good.examined("xmpp-bare"))["xmpp-bare"].verdict is OK
    async with probe_of(prosody, account, priority=5, resource="phone"):
        assert "phone is logged in" in await good.fault("xmpp-bare")


async def test_rooms_on_a_server_without_them(good: Setup) -> None:
    good.manager(HB_CHAT_SERVER="copilot.internal")
    assert "no chat-room service" in await good.fault("xmpp-rooms")


async def test_a_room_of_somebody_else_and_one_that_is_open_to_all(good: Setup, prosody: Prosody) -> None:
    stranger, manager = f"stranger-{uuid.uuid4().hex}", f"jm-{uuid.uuid4().hex}"
    for account in (stranger, manager):
        await prosody.register(account, PASSWORD)
    good.manager(JM_JABBER_ID=manager)
    for owner, seen in ((stranger, "belongs to somebody else"), (manager, "is not so: for members only")):
        room = f"room-{uuid.uuid4().hex}"
        async with probe_of(prosody, owner) as probe:
            await made(probe, f"{room}@conference.copilot.internal")
            good.manager(HB_CHAT_ROOM=room)
            assert seen in await good.fault("xmpp-rooms")


async def made(probe: Probe, room: str) -> None:
    """A room of this account that everybody may enter."""
    probe.enter(f"{room}/owner")
    assert await probe.hear(lambda one: one.get("from") == f"{room}/owner", 10)
    query = Xml(f"{{{MUC}#owner}}query")
    form = SubElement(query, "{jabber:x:data}x", type="submit")
    for name, value in {
        "FORM_TYPE": f"{MUC}#roomconfig",
        "muc#roomconfig_membersonly": "0",
        "muc#roomconfig_persistentroom": "1",
        "muc#roomconfig_whois": "anyone",
    }.items():
        field = SubElement(form, "{jabber:x:data}field", var=name)
        SubElement(field, "{jabber:x:data}value").text = value
    await probe.ask("set", room, query)


async def test_clocks_that_do_not_agree(good: Setup) -> None:
    assert "10 s behind" in await good.fault("clock", WARNING, ahead=10.5)
    assert "s ahead of" in await good.fault("clock", ahead=-120.0)


async def test_programs_of_another_version(good: Setup, prosody: Prosody) -> None:
    account = f"jm-{uuid.uuid4().hex}"
    await prosody.register(account, PASSWORD)
    good.manager(JM_JABBER_ID=account)
    assert (await good.examined("versions"))["versions"].verdict is Verdict.SKIPPED
    for version, kind in ((copilot.__version__, OK), ("0.1.0", WARNING), ("2.0.0", FAULT)):
        async with probe_of(prosody, account, version=version, name="Co-Pilot job manager"):
            (finding,) = (await good.examined("versions"))["versions"].findings
            assert (finding.verdict, version in finding.seen) == (kind, True), finding


class FakeDns(asyncio.DatagramProtocol):
    """Answers each question with one SRV record, or that there is no such name."""

    def __init__(self, answer: tuple[str, int] | None) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = data[12 : data.index(b"\0", 12) + 5]  # of one question, without what comes behind
        if self._answer is None:
            self._transport.sendto(data[:2] + struct.pack("!5H", 0x8183, 1, 0, 0, 0) + question, addr)
            return
        host, port = self._answer
        name = b"".join(bytes([len(part)]) + part.encode() for part in host.split(".")) + b"\0"
        record = struct.pack("!3H", 0, 5, port) + name
        answer = b"\xc0\x0c" + struct.pack("!2HIH", 33, 1, 60, len(record)) + record
        self._transport.sendto(data[:2] + struct.pack("!5H", 0x8180, 1, 1, 0, 0) + question + answer, addr)


@pytest.mark.parametrize(
    ("answer", "kind", "seen"),
    [
        (None, OK, "has no SRV record"),
        (("localhost", 0), OK, "leads to 127.0.0.1"),
        (("elsewhere.invalid", 5222), WARNING, "leads to elsewhere.invalid:5222"),
    ],
)
async def test_dns(
    good: Setup, prosody: Prosody, answer: tuple[str, int] | None, kind: Verdict, seen: str
) -> None:
    named = None if answer is None else (answer[0], answer[1] or prosody.port)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: FakeDns(named), local_addr=("127.0.0.1", 0))
    try:
        at = transport.get_extra_info("sockname")
        (finding,) = (await good.examined("xmpp-dns", nameserver=at))["xmpp-dns"].findings
    finally:
        transport.close()
    assert (finding.verdict, seen in finding.seen) == (kind, True), finding
