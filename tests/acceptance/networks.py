"""Two hosts on one machine: network namespaces that reach each other, and nothing else, over one cable (needs root)."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from copilot.local import provision
from tests.patience import PATIENCE_S

HUB, FIELD = "192.0.2.1", "192.0.2.2"  # RFC 5737: nobody's
PREFIX = 30


@dataclass(frozen=True, slots=True)
class Host:
    """A host of the test: what runs in it begins with `inside`."""

    name: str

    def inside(self, *command: object) -> list[str]:
        """The command, to run on this host."""
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def run(self, *command: object, **variables: str) -> str:
        """Run it to its end; returns what it printed. Raises `CalledProcessError`."""
        argv = self.inside(*command)
        return subprocess.run(
            argv,
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            env={**os.environ, **variables},
        ).stdout

    def reaches(self, address: str, port: int) -> bool:
        """Whether a TCP connection from here can be made."""
        attempt = f"import socket; socket.create_connection(({address!r}, {port}), 1).close()"
        done = subprocess.run(
            self.inside("python3", "-c", attempt), check=False, capture_output=True, timeout=PATIENCE_S
        )
        return done.returncode == 0

    def open_ports(self) -> set[int]:
        """TCP ports that something on this host listens on, whatever the address (proc(5): /proc/net/tcp)."""
        found = set[int]()
        for line in self.run("cat", "/proc/net/tcp").splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":  # TCP_LISTEN
                found.add(int(words[1].rpartition(":")[2], 16))
        return found

    def allow_only(self, address: str, ports: Sequence[int]) -> None:
        """From now on this host can talk to nobody but these TCP ports of this address."""
        allowed = ", ".join(map(str, ports))
        rules = f"""
            table inet only {{
                chain out {{
                    type filter hook output priority 0; policy drop;
                    oif lo accept
                    ip daddr {address} tcp dport {{ {allowed} }} accept
                }}
                chain in {{
                    type filter hook input priority 0; policy drop;
                    iif lo accept
                    ct state established accept
                }}
            }}"""
        nft = provision.require("nft")
        argv = self.inside(nft.program, "-f", "-")
        subprocess.run(argv, input=rules, text=True, check=True, env=nft.environment(), timeout=PATIENCE_S)


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """The hub, where the service is, and a host in the field. They know no other way than to each other."""
    mark = secrets.token_hex(3)
    hub, field = Host(f"hub-{mark}"), Host(f"field-{mark}")
    try:
        for host in (hub, field):
            _ip("netns", "add", host.name)
        _ip(
            "link",
            "add",
            f"h{mark}",
            "netns",
            hub.name,
            "type",
            "veth",
            "peer",
            f"f{mark}",
            "netns",
            field.name,
        )
        for host, cable, address in ((hub, f"h{mark}", HUB), (field, f"f{mark}", FIELD)):
            host.run("ip", "address", "add", f"{address}/{PREFIX}", "dev", cable)
            for link in ("lo", cable):
                host.run("ip", "link", "set", link, "up")
        yield hub, field
    finally:
        for host in (hub, field):
            if Path("/run/netns", host.name).exists():
                _ip("netns", "del", host.name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=PATIENCE_S)
