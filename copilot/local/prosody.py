"""A private Prosody: the XMPP server of the embedded system and of the tests.

directory/
  prosody.cfg.lua  prosody  prosody.log     written by us
  port                                      where it listens, so that a restart keeps it
  tls/                                      certificates; ca.pem is what clients trust
  data/                                     accounts and rooms, the server's own, survive restarts
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import socket
import subprocess
from importlib import resources
from pathlib import Path
from string import Template

from copilot.errors import CopilotError
from copilot.local import certificates, provision
from copilot.local.accounts import checked_name, checked_password
from copilot.local.ports import listens, wait_until_free
from copilot.local.process import Child, give, identity, make_directory
from copilot.local.provision import SYSTEM, Installed
from copilot.local.server import XmppServer
from copilot.local.writing import write_file

START_LIMIT_S = 30.0
SCRAM_ROUNDS = 10_000  # Prosody's default

# Run in the server's place, for we do not write as root into directories of another user. $1 directory, $2 file.
PUT_SCRIPT = 'set -e; umask 077; mkdir -p "$1"; cat >"$1/.$2.$$"; mv -f "$1/.$2.$$" "$1/$2"'
DELETE_SCRIPT = 'rm -f "$1"/*/"$2".dat "$1"/*/"$2".list'


class Prosody(XmppServer):
    """One Prosody and its directory."""

    async def start(self) -> None:
        """Return when clients can connect.

        Raises ServerMissing if there is no Prosody, ConfigError for a taken port or an unreachable directory,
        CopilotError with the end of the log if it does not come up.
        """
        installed = provision.require("prosody")
        self._make_directories()
        await wait_until_free(self._listen, self.port)
        self._write_configuration()
        child = await Child.start(
            self._command(installed),
            log=self.directory / "prosody.log",
            user=self._user,
            env=installed.environment() | _lua_environment(installed),
            cwd=self._data,
        )
        await child.wait_until(lambda: listens(child.pid, self.port), limit_s=START_LIMIT_S)
        self._child = child

    async def register(self, localpart: str, password: str) -> str:
        """Make the account or give it a new password, whether the server runs or not; returns its bare JID.

        We write the account as Prosody's own storage does (`internal_hashed`: one small file that is read at
        each log-in, with SCRAM keys instead of the password). `prosodyctl register` would show the password to
        every user of the machine in `ps`, and takes 100 times as long. Raises BadName or ConfigError.
        """
        file = f"{_encoded(checked_name(localpart))}.dat"
        record = await asyncio.to_thread(_scram_record, checked_password(localpart, password))
        await self._as_server(PUT_SCRIPT, self._storage / "accounts", file, record)
        return f"{localpart}@{self.domain}"

    async def remove(self, localpart: str) -> None:
        """Forget the account and what is kept for it. A session that is open stays open until it ends."""
        await self._as_server(DELETE_SCRIPT, self._storage, _encoded(checked_name(localpart)))

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _storage(self) -> Path:
        return self._data / _encoded(self.domain)

    def _make_directories(self) -> None:
        make_directory(self.directory, self._user)
        self._data.mkdir(mode=0o700, exist_ok=True)
        give(self._data, self._user)

    def _write_configuration(self) -> None:
        names = [self.domain, "localhost", "127.0.0.1", "::1", self._listen, socket.gethostname()]
        tls = certificates.ensure(self.directory / "tls", names)
        give(tls.key_file, self._user)
        template = resources.files("copilot.local").joinpath("templates", "prosody.cfg.lua").read_text()
        write_file(
            self.directory / "prosody.cfg.lua",
            Template(template).substitute(
                data=_lua(self._data),
                pidfile=_lua(self._data / "prosody.pid"),
                listen=_lua(self._listen),
                port=self.port,
                more_modules=', "admin_adhoc"' if self._admins else "",
                admins=", ".join(_lua(jid) for jid in self._admins),
                services=", ".join(_lua(jid) for jid in self._services),
                certificates=_lua(tls.cert_file.parent),
                certificate=_lua(tls.cert_file),
                key=_lua(tls.key_file),
                domain=_lua(self.domain),
                rooms=_lua(f"conference.{self.domain}"),
            ),
            mode=0o644,
        )

    def _command(self, installed: Installed) -> list[str | Path]:
        arguments = ["-F", "--config", str(self.directory / "prosody.cfg.lua")]
        if installed.root == SYSTEM:
            return [installed.program, *arguments]
        # The script knows its parts by absolute paths: run a copy that looks for them in the unpacked tree.
        script = installed.program.read_text().replace(
            "'/usr/lib/prosody", f"'{installed.root}/usr/lib/prosody"
        )
        copy = self.directory / "prosody"
        write_file(copy, script, mode=0o644)
        return [installed.root / "usr" / "bin" / _interpreter(installed), copy, *arguments]

    async def _as_server(self, script: str, directory: Path, file: str, content: bytes = b"") -> None:
        self._make_directories()
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", script, "sh", directory, file),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            **identity(self._user),
        )
        _, complaint = await process.communicate(content)
        if process.returncode != 0:
            raise CopilotError(
                f"Cannot change {file} in {directory}: {complaint.decode(errors='replace').strip()}"
            )


def _scram_record(password: str) -> bytes:
    """An account in the syntax of Prosody's storage, with the keys of RFC 5802, section 3 (SCRAM-SHA-1)."""
    salt = secrets.token_hex(16)
    salted = hashlib.pbkdf2_hmac("sha1", password.encode(), salt.encode(), SCRAM_ROUNDS)
    stored = hashlib.new(
        "sha1", hmac.digest(salted, b"Client Key", "sha1"), usedforsecurity=False
    ).hexdigest()
    server = hmac.digest(salted, b"Server Key", "sha1").hex()
    return (
        f'return {{ ["iteration_count"] = {SCRAM_ROUNDS}; ["salt"] = "{salt}"; '
        f'["stored_key"] = "{stored}"; ["server_key"] = "{server}"; }};\n'
    ).encode()


def _encoded(name: str) -> str:
    """As Prosody names files (util.datamanager): every ASCII character but letters and digits is %xx."""
    return re.sub(r"[^a-zA-Z0-9]", lambda match: f"%{ord(match[0]):02x}", name)


def _lua(value: str | Path) -> str:
    """A Lua string literal (Lua 5.1 manual, 2.1)."""
    escaped = re.sub(r'["\\\n\r\0]', lambda match: f"\\{ord(match[0]):03d}", str(value))
    return f'"{escaped}"'


def _interpreter(installed: Installed) -> str:
    """The Lua that the script's first line asks for: `lua5.4` of `#!/usr/bin/env lua5.4`."""
    with installed.program.open() as script:
        return script.readline().split()[-1].rpartition("/")[2]


def _lua_environment(installed: Installed) -> dict[str, str]:
    if installed.root == SYSTEM:
        return {}
    version = _interpreter(installed).removeprefix("lua")
    shared = installed.root / "usr" / "share" / "lua" / version
    compiled = [directory / "?.so" for directory in installed.root.glob(f"usr/lib/*/lua/{version}")]
    return {
        "LUA_PATH": f"{shared}/?.lua;{shared}/?/init.lua;;",
        "LUA_CPATH": ";".join(map(str, [*compiled, ";"])),
    }
