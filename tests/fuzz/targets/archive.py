"""An output as its agent has packed it: nothing gets out of the directory, and nothing but our errors comes back."""

from __future__ import annotations

import contextlib
import gzip
import tempfile
from pathlib import Path

from copilot.errors import NoSpace, TransferCorrupt, TransferRefused
from copilot.files.unpack import Limits, extract

MOST = 64 * 1024


def run(data: bytes) -> None:
    """`data` is a tar archive before it is zipped: a fuzzer would not get through gzip's checksum."""
    with tempfile.TemporaryDirectory() as place:
        top = Path(place)
        inside = top / "inside"
        inside.mkdir()
        for name, content in (("zipped", gzip.compress(data, 1)), ("raw", data)):
            (top / name).write_bytes(content)
            with contextlib.suppress(TransferRefused, TransferCorrupt, NoSpace):
                extract(top / name, inside, Limits(size=100_000, members=50))
        assert sorted(path.name for path in top.iterdir()) == ["inside", "raw", "zipped"]
        root = inside.resolve()
        for path in inside.rglob("*"):
            assert path.resolve().is_relative_to(root)
