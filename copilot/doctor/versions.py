"""versions: do the programs at both ends go together?

Asked by XEP-0092: other sessions of our account, and whoever is in the main chat room and the first one of agents.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from xml.etree.ElementTree import Element as Xml

import copilot
from copilot.config.groups import RoomSettings
from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, fault, ok, skipped, warning
from copilot.doctor.patient import Patient
from copilot.doctor.xmpp.session import RESOURCE, session
from copilot.errors import RoomRefused, TransportError
from copilot.heartbeat.config import HeartbeatConfig
from copilot.heartbeat.rooms import Rooms
from copilot.protocol.envelope import bare
from copilot.transport.probe import Probe

VERSION = "{jabber:iq:version}query"
MOST = 40  # sessions that are asked
PATIENCE = 1.5  # s
NICK = "copilot-doctor"


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    config = patient.first(HeartbeatConfig) or patient.account
    if config is None:
        return skipped("no settings here have an XMPP account")
    rooms: list[str] = []
    if isinstance(config, HeartbeatConfig):  # it may enter, and agents are told of it anyway
        named = Rooms(name=config.chat_room, server=config.chat_server, shards=_shards(patient))
        rooms = [named.main, named.all[1]]
    try:
        async with session(patient, account=config) as probe:
            return judge(await look(probe, rooms), copilot.__version__)
    except TransportError:
        return skipped("there is no session, see xmpp-login")


def _shards(patient: Patient) -> int:
    return max((config.hb_chat_shards for config in patient.all(RoomSettings)), default=1)


async def look(probe: Probe, rooms: Iterable[str]) -> dict[str, str]:
    """Versions by full JID."""
    await probe.ping(PATIENCE)
    whom = {one.get("from", "") for one in probe.presences() if bare(one.get("from", "")) == bare(probe.jid)}
    for room in rooms:
        whom |= await _inside(probe, room)
    others = sorted(one for one in whom if "/" in one and not one.partition("/")[2].startswith(RESOURCE))[
        :MOST
    ]
    answers = await asyncio.gather(*(_version(probe, jid) for jid in others))
    return {jid: version for jid, version in zip(others, answers, strict=True) if version}


async def _inside(probe: Probe, room: str) -> set[str]:
    occupant = f"{room}/{NICK}-{probe.jid.rpartition('-')[2]}"
    probe.enter(occupant)
    came = await probe.hear(
        lambda one: bare(one.get("from", "")) == bare(room) and _ours(one, occupant), PATIENCE
    )
    if came is None or came.get("type") == "error":
        return set()
    try:
        return {one.jid for one in await probe.rooms.occupants(room) if one.jid}
    except RoomRefused:
        return set()
    finally:
        probe.leave(occupant)


def _ours(presence: Xml, occupant: str) -> bool:
    return presence.tag.endswith("}presence") and (
        presence.get("from", "").lower() == occupant.lower() or presence.get("type") == "error"
    )


async def _version(probe: Probe, jid: str) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            answer = await probe.ask("get", jid, Xml(VERSION))
    except (RoomRefused, TimeoutError):
        return ""
    said = {one.tag.rpartition("}")[2]: one.text or "" for one in answer.iter()}
    return said.get("version", "") if "Co-Pilot" in said.get("name", "") else ""


def judge(versions: Mapping[str, str], own: str) -> list[Finding]:
    """`versions`: by full JID; `own`: of this installation."""
    if not versions:
        return skipped(
            "no program of the system answers here: does one run, and may this account enter its chat rooms?"
        )
    counted = Counter(versions.values())
    told = ", ".join(f"{version} ({number})" for version, number in sorted(counted.items()))
    if set(counted) <= {own}:
        return ok(f"{told}; as here")
    far = [version for version in counted if not _neighbours(version, own)]
    kind = fault if far else warning
    return [
        kind(
            f"programs of the system have the versions {told}; here is {own}",
            expected="one version, or two that follow each other while the system is upgraded",
            cure="upgrade those that are behind: "
            + ", ".join(sorted(jid for jid, one in versions.items() if one != own)[:5]),
        )
    ]


def _neighbours(one: str, other: str) -> bool:
    """Whether two versions follow each other: the same first number, the second one apart by one at most."""
    try:
        (major, minor), (its_major, its_minor) = (
            tuple(int(part) for part in text.split(".")[:2]) for text in (one, other)
        )
    except ValueError:
        return False
    return major == its_major and abs(minor - its_minor) <= 1


CHECK = Check(name="versions", about="the programs at both ends go together", run=run, chain="xmpp")
