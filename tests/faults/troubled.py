"""Runs one of our commands whose stanzas and clock can be troubled from outside.

`python -m tests.faults.troubled SEED MODULE ARGUMENT ...`. Lines on stdin, whose end asks the program to leave:

    stanzas lost|doubled|late|malformed SHARE    from now on, of those that it sends
    stanzas sound 0
    clock SECONDS                                the clock that tells the date is ahead by so much
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
import time
from dataclasses import replace
from random import Random
from typing import Any

from copilot.cli import daemon
from copilot.clock import SystemClock
from copilot.protocol.envelope import Element, Envelope
from copilot.runtime.systemd import Supervisor
from copilot.transport.xmpp import XmppTransport

LATEST = 15.0  # s; longer than the wait before a copy is sent


class Trouble:
    """What goes wrong now."""

    def __init__(self) -> None:
        self.random = Random()
        self.kind, self.share = "sound", 0.0
        self.ahead = 0.0  # s

    def obey(self, line: str) -> None:
        """A line of stdin."""
        match line.split():
            case ["stanzas", kind, share]:
                self.kind, self.share = kind, float(share)
            case ["clock", seconds]:
                self.ahead = float(seconds)


TROUBLE = Trouble()


class TroubledTransport(XmppTransport):
    """Says of a stanza that it was sent, and does something else."""

    def send(self, envelope: Envelope) -> bool:
        if TROUBLE.random.random() >= TROUBLE.share:
            return super().send(envelope)
        match TROUBLE.kind:
            case "doubled":
                super().send(envelope)
            case "late":
                wait = TROUBLE.random.uniform(0, LATEST)
                asyncio.get_running_loop().call_later(wait, super().send, envelope)
                return True
            case "malformed":
                super().send(_malformed(envelope))
            case "lost":
                return True
        return super().send(envelope)


def _malformed(envelope: Envelope) -> Envelope:
    """Another message, which makes no sense any more."""
    info = envelope.element or envelope.body or Element("info")
    values = {
        name: TROUBLE.random.choice((value, "_BASE64:%%%", "")) for name, value in info.attributes.items()
    }
    return replace(
        envelope, id=f"malformed-{TROUBLE.random.random()}", element=replace(info, attributes=values)
    )


def _listen() -> None:
    """Called when there is something on stdin."""
    if lines := os.read(sys.stdin.fileno(), 4096):
        for line in lines.decode().splitlines():
            TROUBLE.obey(line)
    else:
        asyncio.get_running_loop().remove_reader(sys.stdin)
        os.kill(os.getpid(), signal.SIGTERM)


class TroubledSupervisor(Supervisor):
    """Every daemon makes a supervisor in its event loop: then it begins to listen to us."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        asyncio.get_running_loop().add_reader(sys.stdin, _listen)


def main() -> int:
    TROUBLE.random.seed(int(sys.argv[1]))
    vars(daemon)["XmppTransport"] = TroubledTransport
    setattr(SystemClock, "wall", lambda _: time.time() + TROUBLE.ahead)  # noqa: B010 - mypy wants no method assigned
    module = importlib.import_module(sys.argv[2])
    for place in (daemon, module):
        vars(place).update({"Supervisor": TroubledSupervisor} if "Supervisor" in vars(place) else {})
    code: int = module.main(sys.argv[3:])
    return code


if __name__ == "__main__":
    sys.exit(main())
