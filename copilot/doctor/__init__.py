"""`copilot doctor`: finds the usual faults of a set-up and names the cure.

Each check has a file of its own with two parts: `look` asks servers, disk and kernel and comes back with facts; `judge` turns
facts into findings and does nothing else. A check leaves no trace: what it must write it removes, and it shows no secret.
"""
