"""What the loop says in the log. Messages one by one at `debug`; what has gone wrong with one, at most once a minute for
each sender and reason."""

from __future__ import annotations

import logging

from copilot.errors import StoreUnavailable, TransferError
from copilot.log import MessageRef, PeerRef, rate_limited
from copilot.protocol.commands import Command
from copilot.protocol.envelope import Envelope, bare
from copilot.protocol.events import (
    Acked,
    BodyStripped,
    Dropped,
    Expired,
    Received,
    Refused,
    Undeliverable,
)
from copilot.protocol.security import NOT_SEALED
from copilot.runtime.about import message_ref
from copilot.runtime.component import Event, Refuse

log = logging.getLogger("copilot.loop")

# Dropped, and nothing to worry about: the bare JID of a service reaches all its instances, whatever their part.
QUIET = {"wrong-role": logging.DEBUG, "void": logging.INFO, "not-for-us": logging.INFO}
STRIPPED = (
    "the XMPP server of %s delivers messages without what the report's carriage puts into their body, as ejabberd "
    "does: only the element carriage is used from now on, and programs of 2011 cannot be reached through it"
)


def said(to: str, command: Command, message_id: str) -> None:
    """A command is to go out, under this id."""
    if log.isEnabledFor(logging.DEBUG):
        log.debug("%s to %s is message %s", command.NAME, PeerRef(to), message_ref(message_id, command))


def sending(envelope: Envelope) -> None:
    """It goes to the server now, for the first time or again."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    if envelope.id is not None:
        log.debug("Sending message to %s (%s)", PeerRef(envelope.to), MessageRef(envelope.id))
    for message_id in envelope.acks:
        log.debug("Sending ACK for %s to %s", MessageRef(message_id), PeerRef(envelope.to))


def unsendable(envelope: Envelope, command: Command | None, error: Exception) -> None:
    """It is too large, or nothing that XML can carry."""
    log.error(
        "message %s to %s cannot be sent: %s", message_ref(envelope.id, command), PeerRef(envelope.to), error
    )


def heard(event: Event) -> None:
    """Something has come in."""
    match event:
        case BodyStripped(jid=jid):
            log.warning(STRIPPED, bare(jid).partition("@")[2])
        case Dropped():
            _dropped(event)
        case _ if log.isEnabledFor(logging.DEBUG):
            _one_by_one(event)


def _one_by_one(event: Event) -> None:
    match event:
        case Received(command=command, sender=sender):
            log.debug(
                "Got %s from %s (message %s)", command.NAME, PeerRef(sender), message_ref(event.id, command)
            )
        case Acked(command=command, to=to):
            log.debug("Got ACK for %s from %s", message_ref(event.id, command), PeerRef(to))
        case Undeliverable(command=command, to=to):
            text = "the server brought %s to %s back (message %s)"
            log.debug(text, command.NAME, PeerRef(to), message_ref(event.id, command))


def _dropped(event: Dropped) -> None:
    what, sender = message_ref(event.id, event.command), PeerRef(event.sender)
    key, level = f"{event.sender} {event.reason}", QUIET.get(event.reason, logging.WARNING)
    way = "cannot say a message to" if event.reason == NOT_SEALED else "dropped a message from"
    text = f"{way} %s: %s: %s (message %s)"
    rate_limited(log, key, level, text, sender, event.reason, event.text, what)


def refused(action: Refuse) -> None:
    """We do not do what a peer wants."""
    received = action.received
    what, sender = message_ref(received.id, received.command), PeerRef(received.sender)
    key, name = f"{received.sender} {action.code}", received.command.NAME
    text = "refused %s from %s: %s (%s, message %s)"
    rate_limited(log, key, logging.WARNING, text, name, sender, action.text, action.code, what)


def failed(event: Event, error: Exception) -> None:
    """It could not be dealt with: something that we need is away, or there is a bug."""
    if isinstance(error, StoreUnavailable):
        rate_limited(log, "store", logging.ERROR, "%s", error)
        return
    if isinstance(error, TransferError):
        rate_limited(log, "files", logging.ERROR, "%s", error)
        return
    key, name = f"{type(event).__name__} {type(error).__name__}", type(event).__name__
    if isinstance(event, Received | Acked | Refused | Expired | Undeliverable):
        what, text = message_ref(event.id, event.command), "%s (message %s) could not be handled: %s"
        rate_limited(log, key, logging.ERROR, text, name, what, error, exc_info=error)
    else:
        rate_limited(log, key, logging.ERROR, "%s could not be handled: %s", name, error, exc_info=error)


def not_looked_up(envelope: Envelope, error: Exception) -> None:
    """Nobody could tell who sent it."""
    key, text = "looking up", "%s cannot be heard: who that is cannot be looked up (%s); trying again helps"
    rate_limited(log, key, logging.ERROR, text, PeerRef(envelope.sender), error)


def unreadable(envelope: Envelope, error: Exception) -> None:
    """A bug in the reading of a message."""
    key, text = f"reading {type(error).__name__}", "message %s from %s could not be read: %s"
    args = (MessageRef(envelope.id), PeerRef(envelope.sender), error)
    rate_limited(log, key, logging.ERROR, text, *args, exc_info=error)
