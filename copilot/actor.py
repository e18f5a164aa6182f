"""Who wants a change of the queue: the audit trail names him (decision 22).

He is set once where he comes in (`acting`): by the command line, by a message, by a form of the dashboard, by a program. All that
is called from there, and every task that is started there, acts in his name, so no change can forget him.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator
from contextvars import ContextVar

from copilot.records import dataclass


class Via(enum.StrEnum):
    """How he came in."""

    CLI = "cli"
    XMPP = "xmpp"
    WEB = "web"
    PYTHON = "python"
    SERVICE = "service"  # a component by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who: a login name, or a bare JID as the XMPP server has stamped it. `standing`: that of the account, "" where there is none.
    `place`: from where: a machine, an address, a full JID."""

    name: str
    via: Via
    standing: str = ""
    place: str = ""


SERVICE = Actor(name="copilot", via=Via.SERVICE)

_ACTOR: ContextVar[Actor] = ContextVar("copilot_actor", default=SERVICE)


def actor() -> Actor:
    """In whose name this is done; `SERVICE` where nobody has come in."""
    return _ACTOR.get()


@contextlib.contextmanager
def acting(who: Actor) -> Iterator[None]:
    """All inside is done in the name of `who`."""
    token = _ACTOR.set(who)
    try:
        yield
    finally:
        _ACTOR.reset(token)


def enter(who: Actor) -> None:
    """From now on, in this task and those that it starts, all is done in the name of `who`: for a whole program."""
    _ACTOR.set(who)
