"""clock: do the clocks of the servers go as ours?

Signed URLs, claims, tickets and sealed messages are good for a time; leases run by the clock of Redis.
"""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from datetime import datetime
from xml.etree.ElementTree import Element as Xml

from copilot.doctor.check import Check
from copilot.doctor.fileserver import Answered, ask
from copilot.doctor.findings import Finding, fault, ok, skipped, warning
from copilot.doctor.patient import Patient
from copilot.doctor.redis.facts import facts
from copilot.doctor.xmpp.account import NoAccount
from copilot.doctor.xmpp.session import session
from copilot.errors import ConfigError, RoomRefused, StoreError, TransportError

TIME = "{urn:xmpp:time}time"  # XEP-0202
NOTICEABLE, TOO_MUCH = 2.0, 30.0  # s


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    return judge(await look(patient))


async def look(patient: Patient) -> dict[str, float]:
    """By how many seconds each server is ahead of us, within its own precision."""
    ahead: dict[str, float] = {}
    if (server := await _xmpp(patient)) is not None:
        ahead["the XMPP server"] = server
    if (config := patient.queue) is not None:
        try:
            found = await facts(patient, config)
            ahead["Redis"] = found.wall - found.ours
        except (StoreError, ConfigError):
            pass
    answered = await ask(patient)
    if isinstance(answered, Answered) and answered.date:
        ahead["the file server"] = _whole(
            email.utils.parsedate_to_datetime(answered.date).timestamp() - answered.ours
        )
    return ahead


async def _xmpp(patient: Patient) -> float | None:
    try:
        async with session(patient) as probe:
            before = patient.clock.wall()
            answer = await probe.ask("get", probe.jid.partition("@")[2].partition("/")[0], Xml(TIME))
            ours = (before + patient.clock.wall()) / 2
    except (NoAccount, RoomRefused, TransportError):
        return None
    told = next((one.text for one in answer.iter() if one.tag == "{urn:xmpp:time}utc"), None)
    try:
        return None if told is None else _whole(datetime.fromisoformat(told.strip()).timestamp() - ours)
    except ValueError:
        return None


def _whole(ahead: float) -> float:
    """Of a clock that is told in whole seconds: it may be up to one ahead of what it says."""
    return min(ahead + 1.0, 0.0) if ahead < 0 else ahead


def judge(ahead: Mapping[str, float]) -> list[Finding]:
    """`ahead`: s, by server."""
    if not ahead:
        return skipped("no server here tells its time")
    found = []
    for server, seconds in ahead.items():
        if abs(seconds) < NOTICEABLE:
            continue
        kind = fault if abs(seconds) >= TOO_MUCH else warning
        where = "ahead of" if seconds > 0 else "behind"
        found.append(
            kind(
                f"the clock of {server} is {abs(seconds):.0f} s {where} that of this machine",
                expected=f"less than {NOTICEABLE:.0f} s",
                cure="run a time service (chrony, systemd-timesyncd) on both machines: timedatectl set-ntp true",
            )
        )
    return found or ok(", ".join(f"{server} {seconds:+.1f} s" for server, seconds in ahead.items()))


CHECK = Check(name="clock", about="the clocks of the servers go as ours", run=run, chain="xmpp")
