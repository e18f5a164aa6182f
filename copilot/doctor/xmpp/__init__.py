"""Checks of the XMPP server, with an account that the settings name."""
