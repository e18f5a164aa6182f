"""How long `copilot-heartbeat ping` takes to ask everybody, and what the chat rooms cost.

    python -m bench.heartbeat [--components 500] [--shards 3] [--server prosody ejabberd]

The components are simulated: raw sockets in one process, each with an account of its own, TLS, a place in a chat room, and
an answer for each ping. The keeper of the rooms is that of a job manager, in this process; who asks is the real program,
its start and log-in included. Prints one JSON object with rows.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.row import Row
from bench.simulated.crowd import Crowd, Stuck
from bench.simulated.heart import Heart
from bench.simulated.stream import Account, Server
from bench.system import PASSWORD, scratch
from copilot.cli import daemon
from copilot.heartbeat.keeper import RoomKeeper
from copilot.heartbeat.rooms import Rooms
from copilot.heartbeat.service import HeartbeatService
from copilot.local.ejabberd import Ejabberd
from copilot.local.prosody import Prosody
from copilot.local.system import command_path
from copilot.protocol.people import People
from copilot.protocol.rules import Role
from copilot.runtime.loop import Loop
from copilot.transport.settings import XmppSettings, tls_context
from copilot.transport.xmpp import XmppTransport

SERVERS: dict[str, type[Prosody] | type[Ejabberd]] = {"prosody": Prosody, "ejabberd": Ejabberd}
MANAGER = "jm"
GOAL_S = 10.0
ROUNDS = 3
AT_ONCE = 50  # log-ins under way
ACCOUNTS_AT_ONCE = 4
LIMIT_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A server, its chat rooms, and the components in them."""

    xmpp: Prosody | Ejabberd
    rooms: Rooms
    crowd: Crowd
    hearts: list[Heart]

    @classmethod
    async def prepare(cls, xmpp: Prosody | Ejabberd, *, components: int, shards: int) -> Ground:
        """Accounts for all, on a server that runs."""
        rooms = Rooms(name="lounge", server=f"conference.{xmpp.domain}", shards=shards)
        manager = await xmpp.register(MANAGER, PASSWORD)
        turns = asyncio.Semaphore(ACCOUNTS_AT_ONCE)

        async def account(number: int) -> Account:
            async with turns:
                await xmpp.register(f"part-{number}", PASSWORD)
            return Account(name=f"part-{number}", password=PASSWORD)

        accounts = await asyncio.gather(*map(account, range(components)))
        server = Server(
            host="127.0.0.1",
            port=xmpp.port,
            domain=xmpp.domain,
            manager=manager,
            tls=tls_context(xmpp.ca_file),
        )
        crowd = Crowd()
        return cls(
            xmpp=xmpp, rooms=rooms, crowd=crowd, hearts=[Heart(crowd, server, one, rooms) for one in accounts]
        )

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """The rooms have a keeper while inside."""
        people = People.of(self.xmpp.domain)
        keeper = RoomKeeper(
            self.rooms,
            members=people,
            allow=People.of(f"{MANAGER}@{self.xmpp.domain}"),
            random=random.random,
        )
        transport = XmppTransport(
            XmppSettings(
                jid=f"{MANAGER}@{self.xmpp.domain}",
                password=PASSWORD,
                resource="alpha",
                host="127.0.0.1",
                port=self.xmpp.port,
                ca_file=self.xmpp.ca_file,
            )
        )
        loop = Loop(
            keeper, daemon.endpoint(Role.JOB_MANAGER), transport, performer=HeartbeatService(transport)
        )
        running = asyncio.create_task(loop.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def enter(self) -> None:
        """All log in and enter their rooms, some at a time."""
        waiting = iter(self.hearts)

        def all_in() -> bool:
            free = AT_ONCE - (len(self.crowd.agents) - self.crowd.up)
            for heart in itertools.islice(waiting, max(0, free)):
                self.crowd.add(heart)
            return all(heart.inside for heart in self.hearts)

        self.crowd.run(all_in, LIMIT_S, "entering the rooms")

    async def asked(self, directory: Path) -> tuple[float, list[dict[str, Any]]]:
        """`copilot-heartbeat ping`: how long it took, and what it printed. The components answer meanwhile."""
        settings = {
            "HB_JABBER_SERVER": "127.0.0.1",
            "HB_JABBER_PORT": str(self.xmpp.port),
            "HB_JABBER_DOMAIN": self.xmpp.domain,
            "HB_JABBER_CA_FILE": str(self.xmpp.ca_file),
            "HB_JABBER_ID": MANAGER,
            "HB_JABBER_PASSWORD": PASSWORD,
            "HB_CHAT_SERVER": self.rooms.server,
            "HB_CHAT_ROOM": self.rooms.name,
            "COPILOT_CONFIG": str(directory),
        }
        began = time.monotonic()
        program = await asyncio.create_subprocess_exec(
            command_path("copilot-heartbeat"),
            *("--json", "ping"),
            env={**os.environ, **settings},
            stdout=asyncio.subprocess.PIPE,
        )
        said = asyncio.create_task(program.communicate())
        await asyncio.to_thread(self.crowd.run, said.done, LIMIT_S, "the answers")
        return time.monotonic() - began, json.loads((await said)[0])


async def measure(server: str, directory: Path, *, components: int, shards: int, times: int) -> list[Row]:
    """On one server, from its start to its end."""
    xmpp = SERVERS[server](directory / server)
    await xmpp.start()
    ground = None
    try:
        ground = await Ground.prepare(xmpp, components=components, shards=shards)
        async with ground.kept():
            began = time.monotonic()
            await asyncio.to_thread(ground.enter)
            entered = time.monotonic() - began
            rounds = []
            for _ in range(times):
                seconds, answers = await ground.asked(directory)
                answered = {one["jid"] for one in answers if one["answered"]}
                missing = {heart.full_jid.decode() for heart in ground.hearts} - answered
                if missing:
                    raise Stuck(f"{len(missing)} of {components} did not answer")
                rounds.append(seconds)
    finally:
        if ground is not None:
            ground.crowd.close()
        await xmpp.stop()
    middle = sorted(rounds)[len(rounds) // 2]
    return [
        Row(
            name=f"ping of {components} components in {shards} rooms, {server}",
            unit="s",
            value=round(middle, 2),
            goal=f"≤ {GOAL_S:g}",
            met=middle <= GOAL_S,
            rounds=tuple(round(one, 2) for one in rounds),
        ),
        Row(
            name=f"log-in of {components} components, their admission to {shards} rooms included, {server}",
            unit="s",
            value=round(entered, 1),
        ),
    ]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--components", type=int, default=500)
    parser.add_argument("--shards", type=int, default=3)
    parser.add_argument("--server", nargs="+", choices=sorted(SERVERS), default=sorted(SERVERS))
    options = parser.parse_args()
    rows = []
    for server in options.server:
        with scratch() as directory:
            rows += asyncio.run(
                measure(server, directory, components=options.components, shards=options.shards, times=ROUNDS)
            )
    for row in rows:
        print(f"{row.name}: {row.value} {row.unit}", file=sys.stderr)
    print(json.dumps({"rows": [row.to_json() for row in rows]}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
