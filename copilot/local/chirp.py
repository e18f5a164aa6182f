"""A private Chirp server: where agents of 2011 fetch and put files, for the embedded system and the tests.

    directory/
      chirp.log     written by us
      port          where it listens; kept
      root/         what clients see, the server's own, survives restarts
      transient/    the server's own scratch space
      challenges/   where clients on this machine prove which Unix user they are

Who may do what below `root` stands in files named `.__acl` there; clients with the right `a` change it by `setacl`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from copilot.local import provision
from copilot.local.ports import wait_until_free
from copilot.local.process import Child, give, make_directory
from copilot.local.server import LOOPBACK, PrivateServer
from copilot.local.writing import write_file

ACL = ".__acl"  # as chirp_server names it
START_LIMIT_S = 30.0
PROBE_LIMIT_S = 1.0


class Chirp(PrivateServer):
    """One Chirp server and its directory."""

    def __init__(
        self,
        directory: Path,
        *,
        user: str | None = None,
        port: int = 0,
        rights: Mapping[str, str] | None = None,
        free_space: int = 0,
    ) -> None:
        """`port` 0: a free one, kept for ever; `user` is for root alone (default: see `unprivileged_user`).

        `rights` on the root as the first start makes it: a subject, such as `unix:alice` or `address:10.*`, to
        letters of `rwldpax` (read, write, list, delete, put, admin, execute); default: everything for us by `unix`.
        `free_space` in bytes: the server refuses files when less would stay free on its disk.
        """
        super().__init__(directory, port=port, user=user)
        self._rights = rights or {f"unix:{pwd.getpwuid(os.geteuid()).pw_name}": "rwldax"}
        self._free_space = free_space

    @property
    def url(self) -> str:
        """For clients: `chirp://host:port`."""
        return f"chirp://{LOOPBACK}:{self.port}"

    @property
    def root(self) -> Path:
        """The directory that clients see as `/`."""
        return self.directory / "root"

    @property
    def challenges(self) -> Path:
        """For `ChirpClient(challenges=…)`: where the server asks for files as proof of a Unix user."""
        return self.directory / "challenges"

    async def start(self) -> None:
        """Return when clients can connect.

        Raises ServerMissing if there is no chirp_server, ConfigError for a taken port or an unreachable
        directory, CopilotError with the end of the log if it does not come up.
        """
        installed = provision.require("chirp_server")
        make_directory(self.directory, self._user)
        await wait_until_free(LOOPBACK, self.port)
        self._make_directories()
        child = await Child.start(
            [installed.program, *self._arguments()],
            log=self.directory / "chirp.log",
            user=self._user,
            env=installed.environment(),
            cwd=self.directory / "transient",
        )
        await child.wait_until(self._answers, limit_s=START_LIMIT_S)
        self._child = child

    async def stop(self) -> None:
        """End the server if this object started it. Transfers under way break."""
        if self._child is not None:
            # Each connection has a process of its own, which would go on serving; they share the leader's group.
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
        await super().stop()

    def _make_directories(self) -> None:
        if (
            not self.root.exists()
        ):  # later it is the server's, and root does not write into others' directories
            self._make_root()
        transient = self.directory / "transient"
        transient.mkdir(mode=0o700, exist_ok=True)
        give(transient, self._user)
        self.challenges.mkdir(exist_ok=True)
        self.challenges.chmod(0o1777)  # as /tmp, whose part it plays: any user, and nobody another's file

    def _make_root(self) -> None:
        new = self.directory / "root.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        acl = new / ACL
        write_file(
            acl, "".join(f"{subject} {rights}\n" for subject, rights in self._rights.items()), mode=0o600
        )
        for path in (acl, new):
            give(path, self._user)
        new.rename(self.root)

    def _arguments(self) -> list[str]:
        return [
            *(f"--root={self.root}", f"--port={self.port}", f"--interface={LOOPBACK}"),
            "--advertise=-",  # else it tells a catalogue on the Internet about itself
            *("--auth=ticket", "--auth=unix", "--auth=hostname", "--auth=address"),
            *(f"--challenge-dir={self.challenges}", f"--transient={self.directory / 'transient'}"),
            f"--free-space={self._free_space}",
            "--inherit-default-acl",  # directories that others make on the disk have no `.__acl`
            "--parent-death",
        ]

    def _answers(self) -> bool:
        """It refuses an authentication method that does not exist, so it speaks Chirp."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=PROBE_LIMIT_S) as probe:
                probe.sendall(b"none\n")
                return probe.recv(8) == b"no\n"
        except OSError:
            return False
