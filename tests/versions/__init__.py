"""This version beside the release before it: the real programs of both, on one queue, over one XMPP server."""
