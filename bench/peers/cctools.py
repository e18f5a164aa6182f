"""Work Queue from the Debian packages of the Cooperative Computing Tools: its worker, and its library for Python."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from copilot.errors import ServerMissing
from copilot.local import provision

DEVELOPMENT = "coop-computing-tools-dev"


def prepare(directory: Path) -> dict[str, str]:
    """What `work_queue` needs in its environment; the library is linked into `directory` if it is not there.

    Raises ServerMissing where the packages or a C compiler cannot be had.
    """
    (worker,) = provision.ensure("work_queue_worker")
    library = directory / "libwork_queue.so"
    if not library.exists():
        directory.mkdir(parents=True, exist_ok=True)
        _link(library)
    return worker.environment() | {
        "WORK_QUEUE_WORKER": str(worker.program),
        "WORK_QUEUE_LIBRARY": str(library),
    }


def _link(library: Path) -> None:
    """The packages have it for static linking alone, compiled so that a shared one can be made."""
    if not (compiler := shutil.which("cc")):
        raise ServerMissing("Work Queue's library cannot be linked without a C compiler; install `gcc`.")
    archives = _archives()
    unfinished = library.with_suffix(".new")
    whole: list[str | Path] = ["-Wl,--whole-archive", archives / "libwork_queue.a", "-Wl,--no-whole-archive"]
    linked = subprocess.run(
        [compiler, "-shared", "-o", unfinished, *whole, archives / "libdttools.a", "-lm", "-l:libz.so.1"],
        capture_output=True,
        text=True,
        check=False,
    )
    if linked.returncode != 0:
        raise ServerMissing(f"Work Queue's library could not be linked: {linked.stderr.strip()[-500:]}")
    unfinished.rename(library)


def _archives() -> Path:
    for root in (Path("/usr"), provision.cache_directory() / DEVELOPMENT / "usr"):
        if (root / "lib" / "libwork_queue.a").exists():
            return root / "lib"
    provision.fetch(DEVELOPMENT)
    return provision.cache_directory() / DEVELOPMENT / "usr" / "lib"
