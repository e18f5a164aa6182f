"""How long a test waits for what must come: not how long that takes, but when nobody believes any more that it will.

A test whose condition holds ends at once, so a long patience costs nothing. Two workers on one core, with a load of seven beside
them, took 100 s for a test of 30.
"""

PATIENCE_S = 60.0  # below the limit of a test, `timeout` in setup.cfg
