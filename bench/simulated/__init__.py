"""Simulated agents: they say on the wire what real ones say, run nothing, and cost next to nothing.

`stream.py` logs in, `wire.py` reads and writes stanzas without a parser, `crowd.py` turns thousands of agents in one
thread, `ours.py` and `of2011.py` are what two kinds of agents say.
"""
