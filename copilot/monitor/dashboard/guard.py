"""Whom the dashboard answers, and what it forbids the browser.

There is no login, so a page of somebody else must not read the dashboard through the browser of an operator. Its scripts
are kept out by the browser (no CORS, `Cross-Origin-Resource-Policy`), except where a name of that page's own turns into
our address after it was loaded (DNS rebinding). Then the browser still sends that name as `Host`, and we do not answer
to it. An address as `Host` is always right: what is no name cannot be turned.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from types import MappingProxyType

HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'self'; object-src 'none'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
)
_PORT = re.compile(r":[0-9]{1,5}\Z")


class Names:
    """The names under which this dashboard may be asked: that on which it listens, this machine's, `others`."""

    def __init__(self, listen: str, others: Iterable[str] = ()) -> None:
        names = ("localhost", socket.gethostname(), listen, *others)
        self._names = frozenset(name.lower().removesuffix(".") for name in names)

    def know(self, host: str | None) -> bool:
        """Whether the header `Host` is an address or one of our names, with or without a port."""
        name = _PORT.sub("", host or "").lower().removesuffix(".")
        return name in self._names or _is_address(name)


def is_foreign(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that a page of somebody else asks (Fetch Metadata). It could not read the answer, but would
    make work, and hold places of the live stream."""
    return headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none")


def _is_address(name: str) -> bool:
    try:
        if name.startswith("[") and name.endswith("]"):
            ipaddress.IPv6Address(name[1:-1])
        else:
            ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True
