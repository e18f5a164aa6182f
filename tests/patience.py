"""How long a test waits for what must come: not how long that takes, but when nobody believes any more that it will.

A test whose condition holds ends at once, so a long patience costs nothing. On a machine of two cores, half as fast as
others and with three workers, what takes a moment elsewhere has taken ten seconds.
"""

PATIENCE_S = 60.0  # below the limit of a test, `timeout` in setup.cfg
