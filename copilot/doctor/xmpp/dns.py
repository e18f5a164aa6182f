"""xmpp-dns: do SRV records lead clients to the server that the settings name?

Programs of ours go where `*_JABBER_SERVER` says. Clients of people, and programs without that setting, go by the domain.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from copilot.config.kinds import is_loopback
from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, ok, skipped, warning
from copilot.doctor.patient import Patient
from copilot.errors import TransportError
from copilot.transport.srv import Srv, client_records

MOST = 8  # records that are looked at


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    config = patient.account
    if config is None:
        return skipped("no settings here have an XMPP account")
    if is_loopback(config.jabber_server) and patient.nameserver is None:
        return skipped("the XMPP server is on loopback: nobody else looks for it")
    try:
        records = await client_records(config.jabber_domain, patient.nameserver)
    except TransportError as error:
        return skipped(str(error))
    known = await _addresses(config.jabber_server)
    leading = [
        one
        for one in records[:MOST]
        if one.port == config.jabber_port
        and (one.host.lower() == config.jabber_server.lower() or known & await _addresses(one.host))
    ]
    return judge(config.jabber_domain, f"{config.jabber_server}:{config.jabber_port}", records, leading)


def judge(domain: str, server: str, records: Sequence[Srv], leading: Sequence[Srv]) -> list[Finding]:
    """`leading`: those records that lead to `server`."""
    name = f"_xmpp-client._tcp.{domain}"
    if not records:
        return ok(f"{name} has no SRV record; programs of Co-Pilot go to {server} without one")
    if leading:
        return ok(f"{name} leads to {server}")
    found = ", ".join(f"{one.host or '.'}:{one.port}" for one in records)
    host, _, port = server.rpartition(":")
    return [
        warning(
            f"{name} leads to {found}, and the settings to {server}",
            expected="the same server, or no record",
            cure=f"in DNS: {name}. IN SRV 0 5 {port} {host}.; or correct *_JABBER_SERVER and *_JABBER_PORT",
        )
    ]


async def _addresses(host: str) -> set[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(one[4][0]) for one in found}


CHECK = Check(name="xmpp-dns", about="SRV records of the XMPP domain lead to the same server", run=run)
