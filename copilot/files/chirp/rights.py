"""Rights of agents on a directory of a Chirp server, for whoever stands in a list of subjects.

A subject is everybody whom the server knows by some method (`hostname:*.example.org`), or the holders of a ticket
(`ticket:<name>`), whose rights do not stand in the directory's access list but with the ticket.
"""

from __future__ import annotations

from collections.abc import Sequence

from copilot.files.chirp.server import ChirpServer

READ = "rl"  # an agent of 2011 lists a directory before it fetches what is in it
WRITE = (
    "w"  # enough for a plain `putfile`, as agents of 2011 do it; it also allows to make links and directories
)
_TICKET = "ticket:"


def is_ticket(subject: str) -> bool:
    """Whether the rights of `subject` stand with a ticket."""
    return subject.startswith(_TICKET)


async def set_rights(server: ChirpServer, path: str, subjects: Sequence[str], rights: str) -> None:
    """Give each of `subjects` exactly these rights on the directory `path`; the empty text takes all away."""
    for subject in subjects:
        if is_ticket(subject):
            await server.grant_ticket(subject, path, rights)
        else:
            await server.setacl(path, subject, rights)
