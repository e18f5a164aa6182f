"""A private Redis: the queue of the embedded system and of the tests.

    directory/
      redis.conf  redis.log   written by us
      port  password          where it listens and what opens it; kept
      data/                   the append-only file, the server's own, survives restarts and kill -9

It listens on the loopback interface, which every user of the machine can reach: hence the password.
"""

from __future__ import annotations

import secrets
import socket
from importlib import resources
from pathlib import Path
from string import Template

from copilot.local import provision
from copilot.local.ports import wait_until_free
from copilot.local.process import Child, give, make_directory
from copilot.local.server import LOOPBACK, PrivateServer
from copilot.local.writing import write_file

START_LIMIT_S = 60.0  # reading a large append-only file takes its time
PROBE_LIMIT_S = 1.0
PASSWORD_BYTES = 32


class Redis(PrivateServer):
    """One Redis and its directory."""

    @property
    def password(self) -> str:
        """What clients must give with AUTH; generated at the first start."""
        return (self.directory / "password").read_text().strip()

    @property
    def url(self) -> str:
        """For clients: `redis://:password@host:port/0`. A secret: not for logs or command lines."""
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    async def start(self) -> None:
        """Return when the data are loaded and clients are served.

        Raises ServerMissing if there is no redis-server, ConfigError for a taken port or an unreachable
        directory, CopilotError with the end of the log if it does not come up.
        """
        installed = provision.require("redis-server")
        make_directory(self.directory, self._user)
        await wait_until_free(LOOPBACK, self.port)
        configuration = self._write_configuration()
        child = await Child.start(
            [installed.program, configuration],
            log=self.directory / "redis.log",
            user=self._user,
            env=installed.environment(),
            cwd=self._data,
        )
        await child.wait_until(self._answers, limit_s=START_LIMIT_S)
        self._child = child

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _write_configuration(self) -> Path:
        self._data.mkdir(mode=0o700, exist_ok=True)
        give(self._data, self._user)
        secret = self.directory / "password"
        if not secret.exists():
            write_file(secret, secrets.token_urlsafe(PASSWORD_BYTES), mode=0o600)
        template = resources.files("copilot.local").joinpath("templates", "redis.conf").read_text()
        configuration = self.directory / "redis.conf"
        write_file(
            configuration,
            Template(template).substitute(
                listen=LOOPBACK, port=self.port, password=self.password, data=_quoted(self._data)
            ),
            mode=0o600,
        )
        give(configuration, self._user)
        return configuration

    def _answers(self) -> bool:
        """It knows our password, so it is ours, and it has loaded its data (`-LOADING` until then)."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=PROBE_LIMIT_S) as probe:
                probe.sendall(f"AUTH {self.password}\r\nPING\r\nQUIT\r\n".encode())
                with probe.makefile("rb") as answers:
                    return answers.read() == b"+OK\r\n+PONG\r\n+OK\r\n"
        except OSError:
            return False


def _quoted(path: Path) -> str:
    """A string in redis.conf; inside double quotes it knows the escapes of C."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
