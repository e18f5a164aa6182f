"""A private ejabberd: the second XMPP server of the tests.

directory/
  ejabberd.yml  accounts.yml  ejabberd.log  written by us
  port                                      where it listens, so that a restart keeps it
  tls/                                      certificates; ca.pem is what clients trust
  data/                                     accounts and rooms, the server's own, survive restarts

We start Erlang ourselves: the scripts `ejabberdctl` and `erl` know their parts by absolute paths and want the user
`ejabberd`. Without a node name Erlang opens no port for other nodes, needs no epmd and no cookie, and leaves no
process behind.
"""

from __future__ import annotations

import json
import os
import socket
from importlib import resources
from pathlib import Path
from string import Template

import aiohttp

from copilot.errors import ConfigError, CopilotError, ServerMissing
from copilot.local import certificates, provision
from copilot.local.accounts import checked_name, checked_password
from copilot.local.ports import listens, wait_until_free
from copilot.local.process import Child, give, make_directory
from copilot.local.provision import Installed
from copilot.local.server import XmppServer
from copilot.local.writing import write_file

START_LIMIT_S = 40.0
ACCOUNT_LIMIT_S = 20.0
LONGEST_SOCKET_PATH = 107  # bytes; unix(7)
# Its database is where it starts. It listens before it has started, and then would not heed a TERM: so it tells us
# when it has. Schedulers sleep at once when there is no work.
ARGUMENTS = (
    *("-noinput", "+sbwt", "none", "-mnesia", "dir", '"."', "-s", "ejabberd"),
    *("-eval", 'ok = file:write_file("../started", "").'),
)
CONFLICT = 409  # how it answers `register` for an account that is there


class Ejabberd(XmppServer):
    """One ejabberd and its directory."""

    async def start(self) -> None:
        """Return when clients can connect and accounts can be made.

        Raises ServerMissing if there is no ejabberd, ConfigError for a taken port or an unusable directory,
        CopilotError with the end of the log if it does not come up.
        """
        installed = provision.require("ejabberd")
        self._make_directories()
        await wait_until_free(self._listen, self.port)
        self._write_configuration()
        for left_by_the_last_one in (self._socket, self._started):
            left_by_the_last_one.unlink(missing_ok=True)
        child = await Child.start(
            [_part(installed, "usr/lib*/erlang/erts-*/bin/erlexec"), *ARGUMENTS],
            log=self.directory / "ejabberd.log",
            user=self._user,
            env=self._environment(installed),
            cwd=self._spool,
        )
        await child.wait_until(
            lambda: self._started.exists() and listens(child.pid, self.port), limit_s=START_LIMIT_S
        )
        self._child = child

    async def register(self, localpart: str, password: str) -> str:
        """Make the account or give it a new password while the server runs; returns its bare JID.

        Not by `ejabberdctl register`, which would show the password in `ps`. Raises BadName, ConfigError, or
        CopilotError if the server does not answer.
        """
        account = {"user": checked_name(localpart), "host": self.domain}
        checked_password(localpart, password)
        if await self._told("register", account | {"password": password}, but=CONFLICT) == CONFLICT:
            await self._told("change_password", account | {"newpass": password})
        return f"{localpart}@{self.domain}"

    async def remove(self, localpart: str) -> None:
        """Forget the account and what is kept for it; ejabberd ends its open sessions, too."""
        await self._told("unregister", {"user": checked_name(localpart), "host": self.domain})

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _spool(self) -> Path:
        return self._data / "spool"

    @property
    def _socket(self) -> Path:
        return self._data / "accounts"

    @property
    def _started(self) -> Path:
        return self._data / "started"

    def _make_directories(self) -> None:
        length = len(os.fsencode(self._socket))
        if length > LONGEST_SOCKET_PATH:
            raise ConfigError(
                f"{self._socket} has {length} bytes, and the path of a Unix socket may have {LONGEST_SOCKET_PATH}. "
                "Take a directory with a shorter path."
            )
        make_directory(self.directory, self._user)
        if not self._spool.exists():
            self._data.mkdir(mode=0o700, exist_ok=True)
            self._spool.mkdir(mode=0o700)
            for path in (self._spool, self._data):
                give(path, self._user)

    def _write_configuration(self) -> None:
        names = [self.domain, "localhost", "127.0.0.1", "::1", self._listen, socket.gethostname()]
        tls = certificates.ensure(self.directory / "tls", names)
        give(tls.key_file, self._user)
        accounts = self.directory / "accounts.yml"
        write_file(accounts, _filled("ejabberd-accounts.yml", socket=f"unix:{self._socket}"), mode=0o644)
        text = _filled(
            "ejabberd.yml",
            domain=self.domain,
            certificate=str(tls.cert_file),
            key=str(tls.key_file),
            port=self.port,
            listen=self._listen,
            admins=self._admins,
            services=self._services,
        )
        text += f"\ninclude_config_file: {json.dumps(str(accounts))}\n"
        write_file(self.directory / "ejabberd.yml", text, mode=0o644)

    def _environment(self, installed: Installed) -> dict[str, str]:
        program = _part(installed, "usr/lib*/erlang/erts-*/bin/erlexec")
        application = _part(installed, "usr/lib*/*/ejabberd-*/ebin/ejabberd.app")
        return installed.environment() | {
            "EMU": "beam",
            "PROGNAME": "erl",
            "ROOTDIR": str(program.parents[2]),
            "BINDIR": str(program.parent),
            "ERL_LIBS": str(application.parents[2]),
            "ERL_CRASH_DUMP_BYTES": "0",
            "HOME": str(self._data),
            "EJABBERD_CONFIG_PATH": str(self.directory / "ejabberd.yml"),
            "EJABBERD_LOG_PATH": str(self._data / "ejabberd.log"),
        }

    async def _told(self, command: str, arguments: dict[str, str], *, but: int = 200) -> int:
        """The status of the answer: 200 or `but`; raises CopilotError for any other."""
        limit = aiohttp.ClientTimeout(total=ACCOUNT_LIMIT_S)
        try:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.UnixConnector(str(self._socket)), timeout=limit
                ) as session,
                session.post(f"http://{self.domain}/api/{command}", json=arguments) as answer,
            ):
                if answer.status not in (200, but):
                    raise CopilotError(
                        f"ejabberd refused to {command} {arguments['user']!r}: {await answer.text()}"
                    )
                return answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise CopilotError(
                f"The ejabberd in {self.directory} cannot be told of accounts ({error}). It has to run: call start()"
            ) from error


def _filled(template: str, **values: object) -> str:
    """A template of ours; JSON is YAML, so no value can leave its place."""
    text = resources.files("copilot.local").joinpath("templates", template).read_text()
    return Template(text).substitute({name: json.dumps(value) for name, value in values.items()})


def _part(installed: Installed, pattern: str) -> Path:
    for path in sorted(installed.root.glob(pattern)):
        return path
    raise ServerMissing(
        f"{installed.program} is there, but nothing like {installed.root / pattern}, where Debian and Ubuntu have it. "
        "Use ejabberd of one of these."
    )
