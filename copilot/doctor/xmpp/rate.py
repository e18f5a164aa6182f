"""xmpp-rate: how fast does the server read what one account says?

Servers come with limits for people who chat: 3 kB/s (ejabberd of Debian), 10 kB/s (Prosody of Debian). A manager speaks for a
whole fleet. What is sent are answers to nothing that the server has asked: it reads and drops them.
"""

from __future__ import annotations

import time

from copilot.config.manager import ManagerSettings
from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, fault, ok, skipped, warning
from copilot.doctor.patient import Patient
from copilot.doctor.xmpp.session import session
from copilot.errors import RoomRefused, TransportError
from copilot.records import dataclass
from copilot.transport.probe import Probe

BLOCK = f"<iq type='result' id='none'><x xmlns='y'>{'z' * 9_950}</x></iq>"  # 10 kB
STEP = 8  # blocks between two looks at the clock
PATIENCE = 2.0  # s
NEEDED = 100_000  # bytes a second: an agent with many slots and short jobs
FLEET = 1_300_000  # bytes a second: a manager; what we recommend for other accounts is 1 MB/s
# Bytes that are sent, first those that a limit lets through at once: two seconds' worth of it.
OF_AN_AGENT, OF_A_MANAGER = (32_000, 250_000), (2_200_000, 800_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """`read` bytes within `seconds`, those that a limit lets through at once left out; `whole`: that was all that was said."""

    read: int
    seconds: float
    whole: bool

    @property
    def rate(self) -> float:
        """Bytes a second, at most, if not all was read."""
        return self.read / max(self.seconds, 1e-6)


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    config = patient.account
    if config is None:
        return skipped("no settings here have an XMPP account")
    manager = isinstance(config, ManagerSettings)
    try:
        async with session(patient, gently=False) as probe:
            speed = await look(probe, *(OF_A_MANAGER if manager else OF_AN_AGENT))
    except TransportError:
        return skipped("there is no session, see xmpp-login")
    return judge(speed, config.jid, manager=manager)


async def look(probe: Probe, burst: int, size: int, patience: float = PATIENCE) -> Speed:
    """Say `burst` bytes, then time `size` more, or as many as are read in `patience` seconds."""
    if burst and not (first := await look(probe, 0, burst, patience)).whole:
        return first
    read, began = 0, time.monotonic()
    while read < size:
        for _ in range(STEP):
            probe.say(BLOCK)
        left = patience - (time.monotonic() - began)
        try:
            await probe.ping(max(left, 0.01))
        except RoomRefused:
            return Speed(read=read, seconds=time.monotonic() - began, whole=False)
        read += STEP * len(BLOCK)
    return Speed(read=read, seconds=time.monotonic() - began, whole=True)


def judge(speed: Speed, jid: str, *, manager: bool) -> list[Finding]:
    """`manager`: it speaks for a fleet."""
    rate = f"{speed.rate / 1000:.0f} kB/s"
    if speed.rate < NEEDED:
        bound = "" if speed.whole else "at most "
        return [
            fault(
                f"the server reads {bound}{rate} of {jid}",
                expected=f"{NEEDED // 1000} kB/s and more, and no limit for managers",
                cure='Prosody: limits = { c2s = { rate = "1mb/s" } }'
                + (f' and unlimited_jids = {{ "{jid}" }}' if manager else "")
                + "; ejabberd: shaper: account: {rate: 1000000, burst_size: 2000000}"
                + (f" and shaper_rules: c2s_shaper: none for {jid}" if manager else ""),
            )
        ]
    if manager and speed.rate < FLEET:
        return [
            warning(
                f"the server reads {rate} of {jid}, which speaks for all agents",
                expected="no limit for managers, or a faster line",
                cure=f'Prosody: unlimited_jids = {{ "{jid}" }}; ejabberd: shaper_rules: c2s_shaper: none for {jid}',
            )
        ]
    return ok(f"{rate} of {jid}")


CHECK = Check(name="xmpp-rate", about="the server reads fast enough what we say", run=run, chain="xmpp")
