"""Makes what is handed out besides the source: the agent as one file, and the Debian package."""
