"""slixmpp is loaded lean, and still finds servers by SRV records where it has to."""

from __future__ import annotations

import asyncio
import sys

from copilot.transport import library


async def test_srv_records_are_looked_up_on_demand() -> None:
    library.look_up_srv()
    made = library.resolver.default_resolver(loop=asyncio.get_running_loop())
    assert isinstance(made, sys.modules["aiodns"].DNSResolver)
    await made.close()
