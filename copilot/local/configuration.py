"""The configuration files of the embedded system, in the report's format."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path

from copilot.config.certificate import certificate_line
from copilot.config.kinds import Address
from copilot.local.writing import write_file
from copilot.records import dataclass

DOMAIN = "copilot.internal"
MANAGER, MONITOR, HEARTBEAT = "jm", "monitor", "heartbeat"  # accounts
ROOMS, ROOM = f"conference.{DOMAIN}", "pilots-lounge"  # of the heartbeat
PASSWORD_BYTES = 24
REMOTE_WORK_DIR = "/var/tmp/copilot-agent"  # noqa: S108  # a default for other machines, made 0700 by the agent


@dataclass(frozen=True, slots=True)
class Places:
    """What lies where below the system's directory."""

    root: Path

    @property
    def etc(self) -> Path:
        """Configuration of managers and commands."""
        return self.root / "etc"

    @property
    def agents(self) -> Path:
        """Configuration of agents."""
        return self.root / "agents"

    @property
    def state(self) -> Path:
        """Secrets and what else must outlive a restart."""
        return self.root / "state"

    @property
    def area(self) -> Path:
        """The file area."""
        return self.root / "files"

    @property
    def done(self) -> Path:
        """Outputs of finished jobs."""
        return self.root / "done"

    @property
    def work(self) -> Path:
        """Working directories of the agents of this machine."""
        return self.root / "work"

    @property
    def log(self) -> Path:
        """Logs of the components."""
        return self.root / "log"

    @property
    def of_the_components(self) -> tuple[Path, ...]:
        """The directories that belong to the user as whom the components run."""
        return (self.state, self.area, self.done, self.work)

    def agent(self, number: int) -> Path:
        """The configuration file of an agent."""
        return self.agents / f"agent-{number}.conf"


class Passwords:
    """Passwords by account, made when first asked for and kept in one private file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}

    def of(self, account: str) -> str:
        """The password of an account."""
        if account not in self._known:
            self._known[account] = secrets.token_urlsafe(PASSWORD_BYTES)
            write_file(self._path, json.dumps(self._known, indent=1), mode=0o600)
        return self._known[account]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the files are made of. `tls` holds ca.pem and the servers' certificate; `agents` counts all of them; `carbon` is
    where the monitor sends what it hears, if anywhere."""

    places: Places
    listen: str
    xmpp_port: int
    files_port: int
    redis_port: int
    redis_password: str
    tls: Path
    agents: int
    dashboard_port: int
    carbon: Address | None = None


def files(facts: Facts, passwords: Passwords) -> Mapping[Path, str]:
    """All configuration files with their texts."""
    places = facts.places
    written = {
        places.etc / "Copilot.conf": _common(facts, passwords),
        places.etc
        / "copilot-jobmanager-generic.conf": "# Gives jobs and takes their output. Everything as in Copilot.conf.\n",
        places.etc / "copilot-monitor.conf": _monitor(facts, passwords),
        places.etc / "copilot-heartbeat.conf": _heartbeat(facts, passwords),
        places.etc
        / "copilot-storagemanager.conf": "# Takes outputs, too. Everything else as in Copilot.conf.\nSM_STORAGE_ONLY_MODE_ON 1\n",
    }
    for number in range(1, facts.agents + 1):
        written[places.agent(number)] = _agent(facts, passwords, number)
    return written


def _common(facts: Facts, passwords: Passwords) -> str:
    places, tls = facts.places, facts.tls
    return _text(
        "The embedded system, written anew at each start.",
        **_session("JM", facts, passwords, MANAGER),
        JM_REDIS_SERVER="127.0.0.1",
        JM_REDIS_PORT=facts.redis_port,
        JM_REDIS_PASSWORD=facts.redis_password,
        JM_FILES_URL=f"https://{_host(facts.listen)}:{facts.files_port}",
        JM_FILES_LISTEN=f"{_host(facts.listen)}:{facts.files_port}",
        JM_FILES_DIR=places.area,
        JM_FILES_CERT_FILE=tls / "server.pem",
        JM_FILES_KEY_FILE=tls / "server.key",
        JM_DONE_JOB_DIR=places.done,
        JM_STATE_DIR=places.state,
        **_seen(),
    )


def _monitor(facts: Facts, passwords: Passwords) -> str:
    carbon = (
        {} if facts.carbon is None else {"CARBON_SERVER": facts.carbon[0], "CARBON_PORT": facts.carbon[1]}
    )
    return _text(
        "Gathers what the others report, and shows it. Where the queue is, and the rest, stands in Copilot.conf.",
        **_session("MON", facts, passwords, MONITOR),
        MON_DASHBOARD_LISTEN=f"127.0.0.1:{facts.dashboard_port}",
        MON_DASHBOARD_ACTIONS=1,  # nobody has a password there before somebody gives him one
        MON_MANAGERS=f"{MANAGER}@{DOMAIN}",
        MON_STATE_DIR=facts.places.state,
        **carbon,
    )


def _heartbeat(facts: Facts, passwords: Passwords) -> str:
    return _text(
        "Asks all components how they fare. In which rooms they are stands in Copilot.conf.",
        **_session("HB", facts, passwords, HEARTBEAT),
    )


def _session(prefix: str, facts: Facts, passwords: Passwords, account: str) -> dict[str, object]:
    """How a program of this machine logs in."""
    return {
        f"{prefix}_JABBER_SERVER": facts.listen,
        f"{prefix}_JABBER_PORT": facts.xmpp_port,
        f"{prefix}_JABBER_DOMAIN": DOMAIN,
        f"{prefix}_JABBER_ID": account,
        f"{prefix}_JABBER_PASSWORD": passwords.of(account),
        f"{prefix}_JABBER_CA_FILE": facts.tls / "ca.pem",
    }


def _seen() -> dict[str, object]:
    """To whom a component reports, where it meets the others, and who may ask it how it fares."""
    return {
        "MON_JABBER_ADDRESS": f"{MONITOR}@{DOMAIN}",
        "HB_CHAT_SERVER": ROOMS,
        "HB_CHAT_ROOM": ROOM,
        "HB_CHAT_OWNER": f"{MANAGER}@{DOMAIN}",
        "HB_ALLOW": f"{HEARTBEAT}@{DOMAIN} {MANAGER}@{DOMAIN}",
    }


def _agent(facts: Facts, passwords: Passwords, number: int) -> str:
    name = f"agent-{number}"
    return _text(
        "An agent of this system. Copy this file to another machine, install the package there, and run\n"
        f"# copilot-agent --config {name}.conf",
        JM_JABBER_ADDRESS=f"{MANAGER}@{DOMAIN}",
        AGENT_JABBER_SERVER=facts.listen,
        AGENT_JABBER_PORT=facts.xmpp_port,
        AGENT_JABBER_DOMAIN=DOMAIN,
        AGENT_JABBER_ID=name,
        AGENT_JABBER_PASSWORD=passwords.of(name),
        AGENT_JABBER_CA=certificate_line(facts.tls / "ca.pem"),
        AGENT_WORK_DIR=f"{REMOTE_WORK_DIR}-{number}",
        AGENT_REQUEST_INTERVAL="2s",
        **_seen(),
    )


def _text(head: str, **values: object) -> str:
    return f"# {head}\n" + "".join(f"{name} {value}\n" for name, value in values.items())


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
