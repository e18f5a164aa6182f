"""A simulated component that sits in its chat room and answers `Heartbeat:ping`, as `copilot.heartbeat.logic` does.

It enters the room with its nick, shows itself to the job manager again when it is refused, and tries anew. Whom it
answers it does not check, and of its machine it knows nothing.
"""

from __future__ import annotations

from base64 import b64decode

from bench.simulated.crowd import Agent, Crowd
from bench.simulated.stream import Account, Server
from bench.simulated.wire import COMMAND, ID, SENDER, TYPE_ERROR, template
from copilot.heartbeat.rooms import Rooms
from copilot.protocol.commands import Ping, Pong
from copilot.protocol.nick import nick

TRY_AGAIN_S = 2.0
_PONG = template(Pong(), acks=True)
_OURSELVES = b"110"  # XEP-0045, 15.6.1
_ENTER = (
    b"<presence to='%s'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>"
)


class Heart(Agent):
    """One of them. `inside` as soon as the room has let it in."""

    def __init__(self, crowd: Crowd, server: Server, account: Account, rooms: Rooms) -> None:
        super().__init__(crowd, server, account)
        jid = self.full_jid.decode()
        self._room = rooms.of_agent(jid).encode()
        self._occupant = b"%s/%s" % (self._room, nick(jid).encode())
        self.inside = False

    def online(self) -> None:
        """See `Agent.online`."""
        self._enter()

    def met(self, head: bytes, body: bytes) -> None:
        """See `Agent.met`."""
        sender = SENDER.search(head)
        if sender is None or not sender[1].startswith(self._room):
            return
        if TYPE_ERROR.search(head):
            self.say("presence", b"<presence to='%s'/>" % self.manager)
            self.crowd.later(TRY_AGAIN_S, self._enter)
        elif _OURSELVES in body:
            self.inside = True

    def heard(self, head: bytes, body: bytes) -> None:
        """See `Agent.heard`."""
        command, ident, sender = COMMAND.search(body), ID.search(head), SENDER.search(head)
        if command is None or b64decode(command[1]).decode() != Ping.NAME or ident is None or sender is None:
            return
        self.books.heard[Ping.NAME] += 1
        values = {b"to": sender[1], b"id": self.crowd.new_id(), b"ack": ident[1]}
        self.say(Pong.NAME, _PONG % values)

    def reported(self) -> None:
        """See `Agent.reported`; it has no jobs."""

    def _enter(self) -> None:
        self.say("presence", _ENTER % self._occupant)
