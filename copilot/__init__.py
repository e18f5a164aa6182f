"""Co-Pilot: a broker for pilot jobs over XMPP."""

__version__ = "0.1.0"
