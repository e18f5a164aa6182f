"""settings: can the settings of each program be read, and do programs of this machine agree?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from copilot.config import Settings
from copilot.config.groups import (
    FileServerSettings,
    QueuePlaceSettings,
    RoomSettings,
    SecureSettings,
    StagingSettings,
)
from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, fault, ok, warning
from copilot.doctor.patient import Patient, Read
from copilot.jobmanager.config import ManagerConfig

# What two programs of one system have to have in common: the class that has it, the fields, and what happens otherwise.
SHARED: tuple[tuple[type[Settings], tuple[str, ...], str], ...] = (
    (
        QueuePlaceSettings,
        ("redis_server", "redis_port", "redis_socket", "redis_sentinels", "redis_sentinel_service"),
        "they work on different queues",
    ),
    (
        StagingSettings,
        ("files_dir", "done_job_dir", "files_url"),
        "one looks for files where the other has not put them",
    ),
    (
        RoomSettings,
        ("hb_chat_server", "hb_chat_room", "hb_chat_shards"),
        "the heartbeat finds one of them alone",
    ),
    (SecureSettings, ("secure_mode",), "one seals what the other does not open"),
    (FileServerSettings, ("secret_file",), "one does not believe what the other signs"),
)


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    if not patient.read:
        return [
            fault(
                f"{patient.place}: no settings of a program are here",
                expected="copilot-jobmanager-generic.conf, copilot-agent.conf or another",
                cure="name the directory: --config, or COPILOT_CONFIG; `copilot config init DIRECTORY` writes samples",
            )
        ]
    return judge(list(patient.read.values()))


def judge(read: Sequence[Read]) -> list[Finding]:
    """Faults, then warnings, each once; then what programs do not agree on."""
    faults = dict.fromkeys(line for one in read for line in one.faults)
    warnings = dict.fromkeys(
        line for one in read for line in one.warnings if "open to every user" not in line
    )
    found = [
        fault(line, expected="settings that can be read", cure="correct it; see `copilot config check`")
        for line in faults
    ]
    found += [
        warning(line, expected="known keys, each once", cure="correct or remove it") for line in warnings
    ]
    found += _apart([one.config for one in read if one.config is not None])
    names = ", ".join(one.kind.program.name for one in read)
    return found or ok(names)


def _apart(configs: Sequence[Settings]) -> list[Finding]:
    found: dict[str, Finding] = {}
    for kind, fields, consequence in SHARED:
        having = [one for one in configs if isinstance(one, kind)]
        for one, other in combinations(having, 2):
            for name in fields:
                mine, others = getattr(one, name), getattr(other, name)
                if mine == others or mine is None or others is None:
                    continue
                key, its = one.key(name), other.key(name)
                text = f"{one.program.name} has {key} {_text(mine)}, {other.program.name} has {its} {_text(others)}: {consequence}"
                found.setdefault(
                    text, fault(text, expected="the same for both", cure="set it once, in Copilot.conf")
                )
    return [*found.values(), *_strangers(configs)]


def _strangers(configs: Sequence[Settings]) -> list[Finding]:
    """Who asks another job manager than the one that is set up here."""
    managers = [one.jid for one in configs if isinstance(one, ManagerConfig)]
    asking = [(one, getattr(one, "jm_jabber_address", None)) for one in configs]
    return [
        warning(
            f"{one.program.name} asks {asked}, and the job manager of this machine is {managers[0]}",
            expected="the same, unless there are two systems",
            cure=f"JM_JABBER_ADDRESS {managers[0]}",
        )
        for one, asked in asking
        if managers and asked is not None and asked.lower() not in managers
    ]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return str(value)


CHECK = Check(name="settings", about="settings can be read, and programs agree where they have to", run=run)
