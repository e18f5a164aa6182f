"""What we take of slixmpp, loaded without what it would colour its debug log with and look up SRV records with: 4 MB."""

from __future__ import annotations

import contextlib
import importlib

from copilot import lean

with lean.without("aiodns", "pygments"):
    from slixmpp import ClientXMPP
    from slixmpp.exceptions import IqError, IqTimeout
    from slixmpp.jid import JID, InvalidJID
    from slixmpp.xmlstream import resolver
    from slixmpp.xmlstream.stanzabase import StanzaBase

__all__ = ["JID", "ClientXMPP", "InvalidJID", "IqError", "IqTimeout", "StanzaBase", "look_up_srv"]


def look_up_srv() -> None:
    """Have slixmpp find servers by SRV records from now on (RFC 6120, 3.2.1), if aiodns is there."""
    with contextlib.suppress(ImportError):
        vars(resolver).update(aiodns=importlib.import_module("aiodns"), AIODNS_AVAILABLE=True)
