"""Stanzas as a parser makes them."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element as Xml
from xml.sax.saxutils import quoteattr


def iq(kind: str, sender: str, content: str) -> Xml:
    """A question with the id `q1`."""
    return ElementTree.fromstring(
        f"<iq xmlns='jabber:client' type='{kind}' id='q1' from={quoteattr(sender)}>{content}</iq>"
    )
