"""chirp: does the Chirp server answer, and do managers have the rights that they need, and strangers none?"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from copilot.config.manager import ManagerSettings
from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, fault, ok, skipped, warning
from copilot.doctor.patient import Patient
from copilot.errors import TransferError, TransferRefused
from copilot.files.chirp.authentication import Credentials
from copilot.files.chirp.server import ChirpServer
from copilot.records import dataclass
from copilot.storagemanager.chirp import OURS

STALL = 4.0  # s
MEANING = {"w": "write", "d": "delete", "a": "change rights", "r": "read", "l": "list", "p": "put"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """As whom the server knows us, and its access list for the root: subjects to letters."""

    who: str
    root: Mapping[str, str]


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    config = patient.manager
    if config is None or config.chirp_server is None:
        return skipped("no settings here name a Chirp server")
    where = f"chirp://{config.chirp_server}:{config.chirp_port}"
    try:
        rights = await look(config)
    except TransferRefused as error:
        return [
            fault(
                str(error),
                expected="that the Chirp server knows us",
                cure=f"make the ticket of {config.key('chirp_ticket_file')} anew and register it there, or let the server take "
                "another way to log in (--auth=unix, hostname, address)",
            )
        ]
    except TransferError as error:
        return [
            fault(
                str(error),
                expected=f"a Chirp server at {where}",
                cure=f"start chirp_server, open port {config.chirp_port} in the firewall, or correct "
                f"{config.key('chirp_server')} and {config.key('chirp_port')}",
            )
        ]
    return judge(rights, config.chirp_agents)


async def look(config: ManagerSettings) -> Rights:
    """Log in and read. Raises `TransferError`."""
    assert config.chirp_server is not None
    credentials = Credentials.with_ticket(config.chirp_ticket_file)
    server = ChirpServer(config.chirp_server, config.chirp_port, credentials=credentials, stall=STALL)
    try:
        return Rights(who=await server.whoami(), root=await server.getacl("/"))
    finally:
        await server.close()


def judge(rights: Rights, agents: tuple[str, ...]) -> list[Finding]:
    """`agents`: the subjects that get rights on single directories."""
    found = []
    # What subjects of the agents have does not count: where agents get no rights, managers take it from them.
    mine = "".join(
        letters
        for subject, letters in rights.root.items()
        if subject not in agents and fnmatchcase(rights.who, subject)
    )
    ticket = rights.who.startswith("ticket:")  # its rights do not stand in the access list
    if not ticket and (missing := [letter for letter in OURS if letter not in mine]):
        found.append(
            fault(
                f"managers are known as {rights.who} and lack the rights {''.join(missing)} "
                f"({', '.join(MEANING[letter] for letter in missing)}) on the root",
                expected=OURS,
                cure=f"put a line '{rights.who} {OURS}' into the file .__acl of the directory that Chirp exports",
            )
        )
    for subject, letters in rights.root.items():
        if "*" not in subject:
            continue
        if risky := [letter for letter in letters if letter in "wda"]:
            found.append(
                fault(
                    f"everybody who is {subject} may {', '.join(MEANING[letter] for letter in risky)} on the root: inputs and "
                    "outputs of all jobs",
                    expected="no such right; managers give it for single directories",
                    cure=f"take it away: remove '{subject}' from .__acl of the directory that Chirp exports",
                )
            )
        elif risky := [letter for letter in letters if letter in "rl"]:
            found.append(
                warning(
                    f"everybody who is {subject} may {', '.join(MEANING[letter] for letter in risky)} on the root: the results "
                    "of all jobs",
                    expected="no such right; managers give it for single directories",
                    cure=f"take it away: remove '{subject}' from .__acl of the directory that Chirp exports",
                )
            )
    return found or ok(f"known as {rights.who}, with the rights that are needed; strangers have none")


CHECK = Check(
    name="chirp", about="Chirp answers; managers have the rights they need, and strangers none", run=run
)
