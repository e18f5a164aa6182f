"""Holding a payload to what it may use, and saying what it used."""
