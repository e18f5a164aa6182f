"""In whose name a program of this machine changes the queue: for the audit trail."""

from __future__ import annotations

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
