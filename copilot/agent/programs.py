"""Programs that are installed here, by what the operator says of them: files `executables.d/*.toml`.

    [[program]]
    name = "gromacs"
    version = "4.10"                  # or versions = ["4.9", "4.10"], or what a probe finds:
    file = "/opt/gromacs/bin/gmx"     # if there has to be one, else this host has not got the program

    [program.probe]
    command = ["gmx", "--version"]    # the words of a command; no shell reads them
    pattern = 'GROMACS version:\\s+v?(\\S+)'   # a regular expression of Python; its first group is the version
    limit = 10                        # s

Probes are run once, when the agent starts, as the user under whose name payloads run. What goes wrong is logged, and costs
nothing but the program.
"""

from __future__ import annotations

import logging
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from copilot.agent.isolation.base import Account
from copilot.errors import ConfigError
from copilot.records import dataclass

log = logging.getLogger("copilot.agent")

DIRECTORY = "executables.d"
MOST_FILES, MOST_BYTES = 200, 64 * 1024  # of each file
MOST_OUTPUT = 64 * 1024  # bytes that are read of a probe
LIMIT, MOST_LIMIT = 10.0, 60.0  # s of one probe
ALL_PROBES = 60.0  # s of all together; what has not begun by then is left out
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}\Z", re.ASCII)
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}\Z", re.ASCII)
_KNOWN = frozenset({"name", "version", "versions", "file", "probe"})
_KNOWN_OF_PROBE = frozenset({"command", "pattern", "limit"})
_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How the version is found out. `limit` in seconds."""

    command: tuple[str, ...]
    pattern: re.Pattern[str]
    limit: float = LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a file says of one program. It has `versions`, or a `probe`."""

    name: str
    versions: tuple[str, ...] = ()
    file: Path | None = None
    probe: Probe | None = None


def installed(directories: Sequence[Path], account: Account | None = None) -> Mapping[str, tuple[str, ...]]:
    """Versions by name of the program, of all that these directories tell of and this host has. `account`: who runs the probes, if not
    we. Blocks while they run."""
    found: dict[str, tuple[str, ...]] = {}
    deadline = time.monotonic() + ALL_PROBES
    for path in _files(directories):
        for program in _told_in(path):
            versions = _versions(program, path, account, deadline)
            if versions:
                found[program.name] = tuple(dict.fromkeys((*found.get(program.name, ()), *versions)))
    return found


def _files(directories: Sequence[Path]) -> Iterator[Path]:
    """All of them, those right in a directory and one below it."""
    files = [
        path for one in directories for glob in ("*.toml", "*/*.toml") for path in sorted(one.glob(glob))
    ]
    if len(files) > MOST_FILES:
        log.warning(
            "%d files tell of programs: those after %s are left out", len(files), files[MOST_FILES - 1]
        )
    yield from files[:MOST_FILES]


def _told_in(path: Path) -> list[Program]:
    try:
        with path.open("rb") as file:
            return read_programs(file.read(MOST_BYTES + 1))
    except (OSError, ConfigError) as error:
        log.warning("%s: nothing in it is announced: %s", path, error)
        return []


def read_programs(text: bytes) -> list[Program]:
    """What a file says. Raises `ConfigError`."""
    import tomllib  # an agent without such files does without it

    if len(text) > MOST_BYTES:
        raise ConfigError(f"expected at most {MOST_BYTES} bytes")
    try:
        said = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"expected TOML in UTF-8: {error}") from error
    tables = said.pop("program", [])
    if said or not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise ConfigError(
            f"expected tables [[program]] and nothing else, found {', '.join(said) or 'program'}"
        )
    return [_program(one) for one in tables]


def _program(said: dict[str, Any]) -> Program:
    name = said.get("name")
    if not isinstance(name, str) or not _NAME.match(name):
        raise ConfigError(
            f"name {str(name)[:80]!r}: expected 1 to 64 letters, digits, '.', '_', '+' or '-', the first a letter or digit"
        )
    _refuse_others(said, _KNOWN, name)
    file = said.get("file")
    if file is not None and not (isinstance(file, str) and Path(file).is_absolute()):
        raise ConfigError(f"{name}: file {str(file)[:80]!r}: expected an absolute path")
    ways = [way for way in ("version", "versions", "probe") if way in said]
    if len(ways) != 1:
        raise ConfigError(
            f"{name}: expected one of version, versions and probe, found {' and '.join(ways) or 'none'}"
        )
    versions = said.get("versions", [said["version"]] if "version" in said else [])
    if not isinstance(versions, list) or not all(
        isinstance(one, str) and _VERSION.match(one) for one in versions
    ):
        raise ConfigError(
            f"{name}: {ways[0]}: expected texts like \"4.10\", of at most 64 letters, digits, '.', '_', '+', '~' or '-'"
        )
    return Program(
        name=name,
        versions=tuple(versions),
        file=None if file is None else Path(file),
        probe=_probe(name, said["probe"]) if "probe" in said else None,
    )


def _probe(name: str, said: object) -> Probe:
    if not isinstance(said, dict):
        raise ConfigError(f"{name}: probe: expected a table [program.probe]")
    _refuse_others(said, _KNOWN_OF_PROBE, f"{name}: probe")
    command, limit = said.get("command"), said.get("limit", LIMIT)
    if not (isinstance(command, list) and command and all(isinstance(word, str) for word in command)):
        raise ConfigError(f'{name}: probe: command: expected a list of words like ["gmx", "--version"]')
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit <= MOST_LIMIT:
        raise ConfigError(f"{name}: probe: limit: expected seconds, more than 0 and at most {MOST_LIMIT:g}")
    try:
        pattern = re.compile(said["pattern"], re.MULTILINE)
    except (KeyError, TypeError, re.error) as error:
        raise ConfigError(f"{name}: probe: pattern: expected a regular expression: {error}") from error
    if not pattern.groups:
        raise ConfigError(f"{name}: probe: pattern: expected a group in brackets, which is the version")
    return Probe(command=tuple(command), pattern=pattern, limit=float(limit))


def _refuse_others(said: Mapping[str, object], known: frozenset[str], where: str) -> None:
    if others := sorted(said.keys() - known):
        raise ConfigError(f"{where}: {others[0][:80]!r} is not known; expected {', '.join(sorted(known))}")


def _versions(program: Program, path: Path, account: Account | None, deadline: float) -> tuple[str, ...]:
    if program.file is not None and not program.file.exists():
        log.info("%s: %s: %s is not there, so this host has not got it", path, program.name, program.file)
        return ()
    if program.probe is None:
        return program.versions
    left = deadline - time.monotonic()
    if left <= 0:
        log.warning(
            "%s: %s: left out: all probes together took more than %g s", path, program.name, ALL_PROBES
        )
        return ()
    try:
        text = _output(program.probe, min(program.probe.limit, left), account)
    except TimeoutError:
        log.warning("%s: %s: left out: its probe did not end in time", path, program.name)
        return ()
    except OSError as error:
        log.info("%s: %s: %s cannot be run here: %s", path, program.name, program.probe.command[0], error)
        return ()
    found = program.probe.pattern.search(text)
    version = "" if found is None else found[1] or ""
    if not _VERSION.match(version):
        said = text.strip().partition("\n")[0][:200]
        what = "no version" if not version else f"{version[:80]!r}, which is none,"
        log.warning("%s: %s: the pattern finds %s in what the probe says: %r", path, program.name, what, said)
        return ()
    return (version,)


def _output(probe: Probe, limit: float, account: Account | None) -> str:
    """What it says, as far as we read. Nothing of it is left running. Raises OSError; TimeoutError if it has not ended by then."""
    who: dict[str, Any] = (
        {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": ()}
    )
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    process = subprocess.Popen(
        probe.command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env={"PATH": _PATH, "HOME": "/", **kept},
        start_new_session=True,
        **who,
    )
    assert process.stdout is not None
    try:
        return _read(process.stdout.fileno(), time.monotonic() + limit).decode(errors="replace")
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()
        with suppress(ChildProcessError):  # the agent is the parent of what its children leave behind
            while True:
                os.waitpid(-process.pid, 0)


def _read(descriptor: int, deadline: float) -> bytes:
    """Until its end, or `MOST_OUTPUT` bytes. Raises TimeoutError."""
    read = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while len(read) < MOST_OUTPUT:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            some = os.read(descriptor, 4096)
            if not some:
                break
            read += some
    return bytes(read)
