"""Who we are to a Chirp server: we name methods in our order, the server tries those that it knows.

    ticket    we sign random bytes with a key that was registered there
    unix      we make a file that the server names in a directory of both; its owner is our name
    hostname  the name of the address that we come from
    address   that address

The server sees everything in clear and so does the network: rights given by `hostname` or `address` are rights for
everybody who can send from there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from copilot.errors import TransferRefused
from copilot.files.chirp.incoming import Incoming
from copilot.files.chirp.protocol import MAX_LINE, NotChirp
from copilot.files.chirp.ticket import Ticket
from copilot.records import dataclass

METHODS = ("ticket", "unix", "hostname", "address")
CHALLENGES = Path("/tmp")  # noqa: S108 - where chirp_server wants its challenges met
YES = b"yes"

_CHALLENGE_NAME = re.compile(r"challenge\.[0-9]{1,10}\.[0-9]{1,10}", re.ASCII)
_MAX_CHALLENGE = 256  # bytes to be signed; the server sends 64
_NO_MORE_TICKETS = b"==\n"

Send = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What we may prove. `challenges` is where we make files for `unix`, and nowhere else; None: not by `unix`."""

    methods: Sequence[str] = METHODS
    tickets: Sequence[Ticket] = ()
    challenges: Path | None = CHALLENGES

    @classmethod
    def with_ticket(cls, path: Path | None) -> Self:
        """All that we have, and first of all the ticket in the file `path`, if it is not None.

        Raises TransferRefused if the file holds no ticket.
        """
        return cls() if path is None else cls(tickets=(Ticket.load(path),))


async def authenticate(credentials: Credentials, incoming: Incoming, send: Send, server: str) -> str:
    """Log in by the first method that the server accepts; returns our subject there, such as `unix:alice`.

    Raises TransferRefused if it accepts none.
    """
    proofs = {"ticket": _by_ticket, "unix": _by_unix}
    tried = []
    for method in credentials.methods:
        if (method == "ticket" and not credentials.tickets) or (
            method == "unix" and not credentials.challenges
        ):
            continue
        tried.append(method)
        await send(f"{method}\n".encode())
        if await incoming.line() != YES:
            continue
        prove = proofs.get(method, _by_origin)
        if await prove(credentials, incoming, send) and await incoming.line() == YES:
            return f"{_word(await incoming.line())}:{_word(await incoming.line())}"
    raise TransferRefused(
        f"{server}: the Chirp server accepts none of {', '.join(tried) or 'no methods'}; have it accept one of "
        "these (chirp_server --auth), or use a ticket that it knows"
    )


async def _by_origin(_credentials: Credentials, incoming: Incoming, _send: Send) -> bool:
    return await incoming.line() == YES


async def _by_unix(credentials: Credentials, incoming: Incoming, send: Send) -> bool:
    path = os.fsdecode(await incoming.line())
    if not _make_challenge(path, credentials.challenges):
        await send(b"no\n")
        return False
    try:
        await send(b"yes\n")
        return await incoming.line() == YES
    finally:
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108 - the very text that was checked


def _make_challenge(path: str, directory: Path | None) -> bool:
    """Make the file that the server asks for: a new one with a challenge's name, directly in `directory`.

    Anything else would let a server have files made, emptied and removed wherever we may write.
    """
    parent, _, name = path.rpartition("/")
    if directory is None or parent != str(directory) or not _CHALLENGE_NAME.fullmatch(name):
        return False
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError:
        return False
    return True


async def _by_ticket(credentials: Credentials, incoming: Incoming, send: Send) -> bool:
    for ticket in credentials.tickets:
        await send(f"{ticket.name}\n".encode())
        answer = await incoming.line()
        if not answer.isdigit():
            continue  # declined: not registered there, or no longer
        length = int(answer[:MAX_LINE])
        if not 0 < length <= _MAX_CHALLENGE:
            raise NotChirp(f"a challenge of {length} bytes")
        signature = _sign(ticket, await incoming.exactly(length))
        await send(f"{len(signature)}\n".encode() + signature)
        if await incoming.line() == b"success":
            return True
    await send(_NO_MORE_TICKETS)
    return False


def _sign(ticket: Ticket, challenge: bytes) -> bytes:
    try:
        return ticket.sign(challenge)
    except ValueError as error:  # longer than the key
        raise NotChirp(f"a challenge of {len(challenge)} bytes that the ticket's key cannot sign") from error


def _word(line: bytes) -> str:
    """A word for our texts, of a server's making."""
    return ascii(line.decode("ascii", errors="replace"))[1:-1]
