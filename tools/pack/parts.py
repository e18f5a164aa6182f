"""What packages are made of: our own code as its build makes it, and what a lock file names for some Python."""

from __future__ import annotations

import fcntl
import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.markers import Marker

from copilot.errors import CopilotError
from copilot.local import provision

ROOT = Path(__file__).parents[2]
SOURCES = ("copilot", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
GLIBC = (2, 28)  # of the wheels that are taken: Debian 10, RHEL 8 and newer
HERE = "{}.{}".format(*sys.version_info[:2])
LIMIT_S = 900.0
Files = Mapping[str, bytes]  # by path


def ours() -> Files:
    """What our wheel has: the package and its metadata."""
    with tempfile.TemporaryDirectory(prefix="copilot-build-") as name:
        tree = Path(name)
        for source in SOURCES:
            # Without what earlier builds left in the checkout.
            if (ROOT / source).is_dir():
                shutil.copytree(
                    ROOT / source, tree / source, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
                )
            else:
                shutil.copyfile(ROOT / source, tree / source)
        build = "from setuptools import build_meta; print(build_meta.build_wheel('wheel'))"
        (tree / "wheel").mkdir()
        _run([sys.executable, "-c", build], tree)
        (wheel,) = (tree / "wheel").glob("*.whl")
        with zipfile.ZipFile(wheel) as file:
            return {one: file.read(one) for one in file.namelist() if not one.endswith("/")}


def others(lock: Path, python: str, machine: str = "") -> Files:
    """What the lock file names, as installed for CPython `python` ("3.11") of this or another machine.

    Fetched once and kept in the cache of servers: half a minute, later a tenth of a second. Raises CopilotError.
    """
    directory = _installed(lock, python, machine or platform.machine())
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.relative_to(directory).parts[0] != "bin"
    }


def main(locks: Sequence[str]) -> int:
    """Fetch what they name for this Python into the cache. Exit status 1 if it cannot be had."""
    try:
        for lock in map(Path, locks):
            print(f"{lock.stem}: {_installed(lock, HERE, platform.machine())}")
    except (CopilotError, OSError) as error:
        print(f"cannot be fetched: {error}", file=sys.stderr)
        return 1
    return 0


def tag(python: str) -> str:
    """As in names of wheels: cp311."""
    return "cp" + python.replace(".", "")


def _installed(lock: Path, python: str, machine: str) -> Path:
    digest = hashlib.sha256(wanted(lock.read_text(), python, machine).encode()).hexdigest()[:16]
    place = provision.cache_directory() / "packed"
    directory = place / f"{lock.stem}-{digest}-{tag(python)}-{machine}"
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # released when closed, also by our death
        if not directory.exists():
            work = place / ".new"
            shutil.rmtree(work, ignore_errors=True)
            _install(lock, python, machine, work)
            work.rename(directory)
    return directory


def wanted(lock: str, python: str, machine: str) -> str:
    """What of a lock file some release of this Python needs, without conditions.

    pip would ask those of the Python that it runs in. A package that 3.11.2 needs and 3.11.7 does not is taken for 3.11.
    """
    some = []
    for line in lock.replace("\\\n", " ").splitlines():
        requirement, *hashes = line.split("--hash=")
        name, _, marker = requirement.partition(";")
        if name.strip() and not name.startswith("#"):
            there = {"platform_machine": machine, "python_version": python}
            releases = ({**there, "python_full_version": f"{python}.{micro}"} for micro in (0, 99))
            if not marker or any(map(Marker(marker).evaluate, releases)):
                some.append(" ".join([name.strip(), *(f"--hash={one.strip()}" for one in hashes)]))
    return "\n".join(some) + "\n"


def _install(lock: Path, python: str, machine: str, target: Path) -> None:
    some = target.with_name(f"{target.name}.txt")
    some.write_text(wanted(lock.read_text(), python, machine))
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC[1], 16, -1)]
    words = ["--platform", f"manylinux2014_{machine}"]
    for one in platforms:
        words += ["--platform", one]
    _run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"),
            *("--require-hashes", "--only-binary", ":all:", "--no-deps", "--no-compile"),
            *("--implementation", "cp", "--python-version", python, *words),
            *("--target", str(target), "--requirement", str(some)),
        ],
        ROOT,
    )


def _run(argv: Sequence[str], directory: Path) -> None:
    done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        raise CopilotError(" ".join(errors) or done.stderr.strip()[-500:] or f"{argv[0]} failed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
