"""The agent as one file, for machines that have a Python and nothing else.

    python -m tools.pack.onefile FILE [--python 3.11 ...] [--machine aarch64]

A zip archive that Python runs: `__main__.py` (tools/pack/unpacking.py), a manifest, and what requirements/agent.lock names for each
of the Pythons; files that are the same for all of them are in it once. The same tree gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import platform
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import copilot
from copilot.errors import CopilotError
from tools.pack import parts
from tools.pack.unpacking import EVERYWHERE, MANIFEST

PROGRAM = "copilot-agent"
ENTRY = "copilot.cli.agent:main"
LOCK = parts.ROOT / "requirements" / "agent.lock"
BOOT = Path(__file__).with_name("unpacking.py")
# Written by installers, of no use to anybody who runs it: what was built with, and headers for compilers.
LEFT_OUT = ("lxml/includes/", "cryptography/hazmat/bindings/_rust/", ".pyi")


def make(pythons: Sequence[str], machine: str = "", *, level: int = 9) -> bytes:
    """The file, for these versions of Python. `level`: of compression, 1 to 9.

    Raises CopilotError where something cannot be had.
    """
    own = parts.ours()
    each = {python: {**parts.others(LOCK, python, machine), **own} for python in pythons}
    return archive(each, machine or platform.machine(), level=level)


def archive(each: Mapping[str, parts.Files], machine: str, *, level: int = 9) -> bytes:
    """The same of the files for each Python."""
    content = _merged(each)
    digest = hashlib.sha256()
    for name, data in sorted(content.items()):
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    manifest = {
        "name": PROGRAM,
        "version": copilot.__version__,
        "entry": ENTRY,
        "pythons": list(each),
        "tags": {python: parts.tag(python) for python in each},
        "machine": machine,
        "glibc": list(parts.GLIBC),
        "content": digest.hexdigest(),
    }
    first = {
        "__main__.py": BOOT.read_bytes(),
        MANIFEST: json.dumps(manifest, sort_keys=True, indent=1).encode(),
    }
    target = io.BytesIO()
    target.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED, compresslevel=level) as file:
        for name, data in [*first.items(), *sorted(content.items())]:
            info = zipfile.ZipInfo(name)  # of 1980
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            file.writestr(info, data, compresslevel=level)
    return target.getvalue()


def _merged(each: Mapping[str, parts.Files]) -> dict[str, bytes]:
    """By their names in the archive."""
    versions = list(each.values())
    content: dict[str, bytes] = {}
    for python, files in each.items():
        for name, data in files.items():
            if name.startswith(LEFT_OUT) or name.endswith(LEFT_OUT):
                continue
            alike = all(other.get(name) == data for other in versions)
            content[f"{EVERYWHERE if alike else parts.tag(python) + '/'}{name}"] = data
    return content


def write(target: Path, data: bytes) -> None:
    """Complete or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    work = target.with_name(f".{target.name}.{os.getpid()}")
    work.write_bytes(data)
    work.chmod(0o755)
    work.rename(target)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write it. Exit status 1 if something cannot be had."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--python", nargs="+", default=[parts.HERE], help=f"versions of Python (default: {parts.HERE})"
    )
    parser.add_argument("--machine", default=platform.machine(), choices=["x86_64", "aarch64"])
    chosen = parser.parse_args(arguments)
    try:
        data = make(chosen.python, chosen.machine)
    except (CopilotError, OSError) as error:
        sys.stderr.write(f"{chosen.file}: {error}\n")
        return 1
    write(chosen.file, data)
    sys.stdout.write(
        f"{chosen.file}: {len(data) / 2**20:.0f} MiB, Python {' '.join(chosen.python)}, {chosen.machine}, "
        f"sha256 {hashlib.sha256(data).hexdigest()}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
