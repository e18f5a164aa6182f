"""secrets: does anybody but their owner read passwords, keys and the secret that signs?"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from copilot.config.groups import FileServerSettings, SecureSettings, StagingSettings
from copilot.doctor.check import Check, in_thread
from copilot.doctor.findings import Finding, fault, or_ok, skipped
from copilot.doctor.patient import Patient
from copilot.errors import ConfigError
from copilot.records import dataclass
from copilot.runtime.keys import load_public_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A file with a secret: its permissions, None if it is not there. `needed`: it has to be. `group`: its group may read it,
    as is usual for keys of certificates; else the program refuses that."""

    path: Path
    what: str
    mode: int | None
    readable: bool
    needed: bool = False
    group: bool = False


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    if not patient.read:
        return skipped("no settings of a program are here")
    warned = tuple(dict.fromkeys(line for one in patient.read.values() for line in one.warnings))
    kept = await in_thread(lambda: list(look(patient)))
    unknown = await in_thread(lambda: list(_unknown_services(patient)))
    return judge(kept, [line for line in warned if "open to every user" in line], unknown)


def look(patient: Patient) -> Iterable[Kept]:
    """The files of secrets that the settings name, each once."""
    seen: set[Path] = set()
    for config in (one.config for one in patient.read.values()):
        named: list[tuple[Path | None, str, bool]] = []
        if isinstance(config, FileServerSettings):
            named += [
                (config.secret_file, "the secret that signs claims and URLs", False),
                (config.files_key_file, "the key of the file server's certificate", True),
            ]
        if isinstance(config, SecureSettings):
            named.append((config.key_file, "the keys of the component", False))
        if isinstance(config, StagingSettings):
            named.append((config.chirp_ticket_file, "the Chirp ticket", True))
        for path, what, needed in named:
            if path is not None and path not in seen:
                seen.add(path)
                yield _kept(path, what, needed=needed)


def _kept(path: Path, what: str, *, needed: bool) -> Kept:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return Kept(path=path, what=what, mode=None, readable=False, needed=needed, group=needed)
    readable = os.access(path, os.R_OK)
    return Kept(path=path, what=what, mode=mode, readable=readable, needed=needed, group=needed)


def _unknown_services(patient: Patient) -> Iterable[tuple[Path, str]]:
    """In secure mode: files of public keys that lack the job manager's."""
    for config in patient.all(SecureSettings):
        manager: str | None = getattr(config, "jm_jabber_address", None)
        if not config.secure_mode or manager is None:
            continue
        try:
            known = load_public_keys(config.public_keys_file)
        except ConfigError as error:
            yield config.public_keys_file, str(error)
            continue
        if manager.lower() not in known:
            yield config.public_keys_file, f"{config.public_keys_file} has no keys of {manager}"


def judge(
    kept: Iterable[Kept], warned: Iterable[str], unknown: Iterable[tuple[Path, str]] = ()
) -> list[Finding]:
    """`warned`: what was said when settings were read; `unknown`: files of public keys that lack some."""
    found = [
        fault(
            line.rpartition(";")[0],
            expected="nobody but its owner and group reads it",
            cure=line.rpartition("; do ")[2],
        )
        for line in warned
    ]
    for one in kept:
        if one.mode is None and one.needed:
            found.append(
                fault(
                    f"{one.path}: {one.what} is not there",
                    expected="a file",
                    cure="make it, or correct the setting",
                )
            )
        elif one.mode is not None and one.mode & (0o027 if one.group else 0o077):
            found.append(
                fault(
                    f"{one.path}: others can read {one.what} (mode {one.mode:04o})",
                    expected="mode 0600",
                    cure=f"chmod 600 {one.path}",
                )
            )
        elif one.mode is not None and not one.readable:
            found.append(
                fault(
                    f"{one.path}: this user cannot read {one.what}",
                    expected="that it belongs to the user of the program",
                    cure="chown it to that user, or run the doctor as that user: sudo -u copilot copilot doctor",
                )
            )
    found += [
        fault(
            text,
            expected="in secure mode, the public keys of the job manager",
            cure=f"copy what `copilot keys show` prints on the manager's machine into {path}",
        )
        for path, text in unknown
    ]
    return or_ok(found, "nobody else reads them")


CHECK = Check(name="secrets", about="nobody else reads passwords and keys", run=run)
