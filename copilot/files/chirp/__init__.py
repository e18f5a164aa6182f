"""Chirp, the report's file protocol: our own asyncio client, for there is no library (decision 7)."""
