"""How input and output files travel: one port, one module per scheme, and the embedded file server."""
