"""Who runs this program: as the owner of jobs, and in whose name the queue is changed (for the audit trail)."""

from __future__ import annotations

import getpass
import os
import pwd
import socket

from copilot.actor import Actor, Via


def here(via: Via) -> Actor:
    """The login name of who runs this, by the kernel's word, not the environment's; who has become root by sudo, by the name before.
    The standing is "": whoever has the password of the queue may do all."""
    user = os.getuid()
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:  # in containers, users often have but a number
        name = str(user)
    place = socket.gethostname()
    sudo = os.environ.get("SUDO_USER", "")
    if user == 0 and sudo and sudo != name:  # anybody can set it, but root need not lie
        return Actor(name=sudo, via=via, place=f"{place}, as {name} by sudo")
    return Actor(name=name, via=via, place=place)


def owner_here() -> str:
    """Who runs this program: the owner of jobs that it puts straight on the queue."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in containers, users often have but a number
        return str(os.getuid())
