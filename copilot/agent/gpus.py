"""GPUs of this machine: which there are, and the devices by which a payload in a sandbox reaches those that are its own."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from copilot.job import MAX_GPUS

ROOT = Path("/")
_DEVICE = re.compile(r"nvidia([0-9]{1,3})\Z", re.ASCII)
# What each program on a GPU opens besides the GPU's own device (NVIDIA's, then AMD's).
_SHARED = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset", "kfd")


def find_gpus(root: Path = ROOT) -> tuple[str, ...]:
    """The numbers of NVIDIA's GPUs: by their devices, or else by what their driver tells. No program is asked."""
    numbers = sorted(_nvidia(root))
    if not numbers:
        try:
            numbers = list(range(len(os.listdir(root / "proc/driver/nvidia/gpus"))))  # noqa: PTH208 - names alone
        except OSError:
            return ()
    return tuple(map(str, numbers[:MAX_GPUS]))


def devices_of(gpus: Sequence[str], root: Path = ROOT) -> tuple[Path, ...]:
    """What a payload with these GPUs opens. A name that is no number may be any of them."""
    if not gpus:
        return ()
    found = _nvidia(root)
    numbered = all(name.isdigit() for name in gpus)
    own = [path for number, path in sorted(found.items()) if not numbered or str(number) in gpus]
    amd = [] if found else sorted((root / "dev/dri").glob("renderD*"))
    shared = (root / "dev" / name for name in _SHARED)
    return (*own, *amd, *(path for path in shared if path.exists()))


def _nvidia(root: Path) -> dict[int, Path]:
    """The device of each GPU, by its number."""
    return {
        int(found[1]): path for path in (root / "dev").glob("nvidia*") if (found := _DEVICE.match(path.name))
    }
