"""An agent comes in by a bundle: what it says, and what it makes of the answers. No I/O.

It is a component on a session of the bundle's temporary account, and leaves as soon as it knows.
"""

from __future__ import annotations

from copilot.enrol.bundle import BundleFile
from copilot.protocol.commands import Enrol, Enrolled, Error, SecurityError
from copilot.protocol.events import Received, Refused
from copilot.runtime.component import Action, Actions, Event, Leave, Online, Send, Stopping, Tick

SAY_AGAIN = 15.0  # s without an answer; an instance may have died after it had acknowledged
JOIN_WITHIN = 60.0  # s for all of it
INTERRUPTED = 130


class Joining:
    """Says `enrol` until there is an answer. Afterwards `jid` is the bare JID of the new account, or `refused` says why there
    is none; neither: nobody has answered in time, or `interrupted`."""

    def __init__(self, bundle: BundleFile, *, key: str, password: str, now: float) -> None:
        """`key` is the agent's public key in base64, `password` that of the account which it is to have. It gives up
        `JOIN_WITHIN` after `now`."""
        self.jid: str | None = None
        self.refused: Error | SecurityError | None = None
        self.interrupted = False
        self._manager = bundle.manager
        self._enrol = Enrol(bundle=bundle.id, secret=bundle.secret, key=key, password=password)
        self._deadline = now + JOIN_WITHIN
        self._again: float | None = None

    def trusts(self, jid: str) -> bool:
        """From whom it takes answers."""
        return jid == self._manager

    def handle(self, event: Event, now: float) -> Actions:
        """As `Component.handle`."""
        match event:
            case Online():
                return self._say(now)
            case Received(command=Enrolled(jid=jid)):
                self.jid = jid
                return [Leave()]
            case Received(command=SecurityError() as error) | Refused(error=error):
                self.refused = error
                return [Leave()]
            case Tick() if now >= self._deadline:
                return [Leave()]
            case Tick():
                return self._say(now)
            case Stopping():
                self.interrupted = True
                return [Leave(exit_code=INTERRUPTED)]
        return []

    def wakeup(self) -> float:
        """When to say it again, or to give up."""
        return self._deadline if self._again is None else min(self._again, self._deadline)

    def _say(self, now: float) -> list[Action]:
        self._again = now + SAY_AGAIN
        return [Send(to=self._manager, command=self._enrol)]
