"""How envelopes travel: one port, one version in memory and one over XMPP."""
