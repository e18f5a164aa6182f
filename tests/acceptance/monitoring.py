"""A monitor as a process, and a client that reports to it in the words of 2011 and in ours."""

from __future__ import annotations

import contextlib
import subprocess
import uuid
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from copilot.local.prosody import Prosody
from copilot.protocol import codec
from copilot.protocol.commands import Command
from copilot.protocol.envelope import Element, Envelope
from copilot.transport.base import Connected
from copilot.transport.settings import XmppSettings
from copilot.transport.xmpp import XmppTransport
from tests.acceptance.running import started, until
from tests.conftest import Account

# What the report says that a manager reports (section 2.3.2), as the programs of 2011 named it.
MANAGER_EVENTS = ("job.succeeded", "job.failed", "error.invalidJobId", "error.emptyQueue")
MANAGER_VALUES = (
    "queued.Jobs",
    "system.disk.available.sda1",
    "system.disk.used.sda1",
    "system.load.1min",
    "system.load.5min",
    "system.load.15min",
    "system.net.in.eth0",
    "system.net.out.eth0",
    "system.ram.used.mem",
    "system.ram.used.swap",
    "system.ram.available.mem",
    "system.ram.available.swap",
)
MANAGER = "jobmanager.generic.default"


def old_report(command: str, **values: object) -> Element:
    """An `<info>` in the spelling of 2011: two underscores, values broken over lines."""
    said = {"command": command, **{name: str(value) for name, value in values.items()}}
    return Element("info", {name: _old_value(text) for name, text in said.items()})


def _old_value(text: str) -> str:
    encoded = b64encode(text.encode()).decode()
    return "__BASE64:" + "\n".join(encoded[at : at + 8] for at in range(0, len(encoded), 8)) + "\n"


class Reporter:
    """A session that says what it is told to."""

    def __init__(self, transport: XmppTransport, to: str) -> None:
        self._transport = transport
        self._to = to

    def say(self, *infos: Element | Command, carriage: str = "element") -> None:
        """Each in a message of its own, in the carriage `element`, `body` or `both`."""
        for info in infos:
            element = codec.encode(info) if isinstance(info, Command) else info
            sent = self._transport.send(
                Envelope(
                    to=self._to,
                    id=str(uuid.uuid4()),
                    body=None if carriage == "element" else element,
                    element=None if carriage == "body" else element,
                    noack=True,
                )
            )
            assert sent


@contextlib.asynccontextmanager
async def reporting(prosody: Prosody, account: Account, to: str) -> AsyncIterator[Reporter]:
    """A session of this account while inside."""
    transport = XmppTransport(
        XmppSettings(
            jid=account.jid,
            password=account.password,
            resource="default",
            host="127.0.0.1",
            port=prosody.port,
            ca_file=prosody.ca_file,
        )
    )
    try:
        assert isinstance(await transport.next_event(), Connected)
        yield Reporter(transport, to)
    finally:
        await transport.close()


class Watched:
    """What a monitor that runs has said."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self._output = output

    def said(self) -> str:
        return self._output.read_text()


@contextlib.contextmanager
def monitor(prosody: Prosody, account: Account, directory: Path, **settings: object) -> Iterator[Watched]:
    """`copilot-monitor`, logged in, with a sample a second unless `settings` say otherwise."""
    name, _, domain = account.jid.partition("@")
    values: dict[str, object] = {
        "MON_JABBER_SERVER": "127.0.0.1",
        "MON_JABBER_PORT": prosody.port,
        "MON_JABBER_DOMAIN": domain,
        "MON_JABBER_ID": name,
        "MON_JABBER_PASSWORD": account.password,
        "MON_JABBER_CA_FILE": prosody.ca_file,
        "MON_STATE_DIR": directory / "state",
        "MON_SAMPLE_INTERVAL": 1,
        **settings,
    }
    configuration = directory / "copilot-monitor.conf"
    configuration.write_text("".join(f"{key} {value}\n" for key, value in values.items()))
    configuration.chmod(0o600)
    output = directory / "monitor.out"
    with started("copilot-monitor", "--config", configuration, output=output) as process:
        watched = Watched(process, output)
        until(lambda: "Ready as" in watched.said() or process.poll() is not None, "the monitor's login")
        assert process.poll() is None, watched.said()
        yield watched
