"""xmpp-rooms: are the chat rooms of the heartbeat there, and are they what they should be?"""

from __future__ import annotations

from xml.etree.ElementTree import Element as Xml

from copilot.config.groups import RoomSettings
from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, fault, ok, or_ok, skipped, warning
from copilot.doctor.patient import Patient
from copilot.doctor.xmpp.session import session
from copilot.errors import RoomRefused, TransportError
from copilot.heartbeat.config import HeartbeatConfig
from copilot.heartbeat.rooms import Rooms
from copilot.records import dataclass
from copilot.transport.probe import Probe
from copilot.transport.rooms import MUC

INFO = "{http://jabber.org/protocol/disco#info}query"
OWNER = f"{{{MUC}#owner}}query"
# The feature (XEP-0045, 6.4) that a room must have, what it means, and the option that makes it so.
NEEDED = {
    "muc_membersonly": ("for members only", "muc#roomconfig_membersonly=1"),
    "muc_nonanonymous": ("its members see the real addresses of moderators", "muc#roomconfig_whois=anyone"),
    "muc_persistent": ("it stays when nobody is in", "muc#roomconfig_persistentroom=1"),
    "muc_public": ("it is listed, or the heartbeat does not find it", "muc#roomconfig_publicroom=1"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`service`: features of the chat-room service, None if it does not answer; `room`: those of the main room, None if there
    is none; `why`: what was answered instead; `owned`: whether we own it, None if we need not."""

    service: frozenset[str] | None
    room: frozenset[str] | None = None
    why: str = ""
    owned: bool | None = None


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    rooms, config = _rooms(patient)
    if rooms is None or config is None:
        return skipped("HB_CHAT_SERVER and HB_CHAT_ROOM are not set: there is no heartbeat")
    keeps = isinstance(config, RoomSettings) and config.room_owner == config.jid
    try:
        async with session(patient, account=config) as probe:
            return judge(await look(probe, rooms, keeps=keeps), rooms)
    except TransportError:
        return skipped("there is no session, see xmpp-login")


def _rooms(patient: Patient) -> tuple[Rooms | None, RoomSettings | HeartbeatConfig | None]:
    for config in (patient.manager, *patient.all(RoomSettings)):
        if config is not None and config.hb_chat_server and config.hb_chat_room:
            shards = config.hb_chat_shards
            return Rooms(name=config.hb_chat_room, server=config.hb_chat_server, shards=shards), config
    if (asker := patient.first(HeartbeatConfig)) is not None:
        return Rooms(name=asker.chat_room, server=asker.chat_server, shards=1), asker
    return None, None


async def look(probe: Probe, rooms: Rooms, *, keeps: bool) -> Facts:
    """`keeps`: our account is the one that keeps the rooms."""
    try:
        service = _features(await probe.ask("get", rooms.server, Xml(INFO)))
    except RoomRefused as refused:
        return Facts(service=None, why=refused.condition)
    try:
        room = _features(await probe.ask("get", rooms.main, Xml(INFO)))
    except RoomRefused as refused:
        return Facts(service=service, why=refused.condition)
    owned = None
    if keeps:
        try:
            await probe.ask("get", rooms.main, Xml(OWNER))
            owned = True
        except RoomRefused:
            owned = False
    return Facts(service=service, room=room, owned=owned)


def _features(answer: Xml) -> frozenset[str]:
    return frozenset(one.get("var", "") for one in answer.iter() if one.tag.endswith("}feature"))


def judge(facts: Facts, rooms: Rooms) -> list[Finding]:
    """The service, then the room."""
    if facts.service is None or MUC not in facts.service:
        return [
            fault(
                f"{rooms.server} is no chat-room service" + (f" ({facts.why})" if facts.why else ""),
                expected="one, or no heartbeat",
                cure=f'Prosody: Component "{rooms.server}" "muc"; ejabberd: mod_muc; or correct HB_CHAT_SERVER',
            )
        ]
    if facts.room is None and facts.why == "item-not-found":
        return [
            warning(
                f"there is no chat room {rooms.main} yet",
                expected="the job manager makes it when it starts",
                cure="start the job manager, and see that its HB_CHAT_SERVER and HB_CHAT_ROOM are the same",
            )
        ]
    if facts.room is None:
        return ok(f"{rooms.main} does not say what it is ({facts.why}): only members learn it")
    found = [
        fault(
            f"the chat room {rooms.main} belongs to somebody else",
            expected="the job manager owns it",
            cure="destroy it, or take another HB_CHAT_ROOM",
        )
    ]
    if facts.owned is not False:
        found = [
            fault(
                f"the chat room {rooms.main} is not so: {meaning}",
                expected=option,
                cure="start the job manager, which sets it if it owns the room; else destroy the room, or take another "
                "HB_CHAT_ROOM",
            )
            for feature, (meaning, option) in NEEDED.items()
            if feature not in facts.room
        ]
    return or_ok(found, f"{rooms.main} is as it should be")


CHECK = Check(
    name="xmpp-rooms", about="the chat rooms of the heartbeat are as they should be", run=run, chain="xmpp"
)
