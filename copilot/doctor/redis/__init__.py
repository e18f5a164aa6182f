"""Checks of the Redis server that holds the queue. All go by what it said once (`facts.py`)."""
