"""Where DNS says that the XMPP server of a domain is (RFC 6120, 3.2.1)."""

from __future__ import annotations

from typing import Any

from copilot.errors import TransportError
from copilot.records import dataclass

ANSWER_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Srv:
    """One SRV record (RFC 2782)."""

    host: str
    port: int


async def client_records(domain: str, nameserver: tuple[str, int] | None = None) -> list[Srv]:
    """The records of `_xmpp-client._tcp`; none if there are none.

    `nameserver`: address and port to ask instead of the system's. Raises TransportError if DNS does not answer.
    """
    import aiodns  # comes with slixmpp

    options: dict[str, Any] = {"timeout": ANSWER_S / 2, "tries": 2}
    if nameserver is not None:
        options |= {"udp_port": nameserver[1], "tcp_port": nameserver[1]}
    resolver = aiodns.DNSResolver(nameservers=None if nameserver is None else [nameserver[0]], **options)
    try:
        answer: Any = await resolver.query_dns(f"_xmpp-client._tcp.{domain}", "SRV")
    except aiodns.error.DNSError as error:
        if error.args[0] in (aiodns.error.ARES_ENOTFOUND, aiodns.error.ARES_ENODATA):
            return []
        raise TransportError(
            f"DNS does not say where the XMPP server of {domain} is: {error.args[1]}"
        ) from error
    finally:
        await resolver.close()
    return [
        Srv(host=record.data.target.rstrip("."), port=record.data.port)
        for record in answer.answer
        if hasattr(record.data, "target")
    ]
