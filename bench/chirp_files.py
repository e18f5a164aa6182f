"""Small files and a large one through our Chirp client, beside `chirp_put`, on one real chirp_server.

    python bench/chirp_files.py [--files 1000] [--size 1000] [--large 200] [--rounds 3]

Prints one JSON object: medians over the rounds, in files a second and MB/s, and the growth of our memory in MB. The tool is
run as a user would, trying all methods of authentication, and with the one that is quickest here (`-a hostname`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from copilot.files.base import BLOCK
from copilot.files.chirp.authentication import Credentials
from copilot.files.chirp.server import ChirpServer
from copilot.local import provision
from copilot.local.chirp import Chirp

HOST = "127.0.0.1"
MB = 1_000_000


async def blocks(path: Path) -> AsyncIterator[bytes]:
    """The contents of a file."""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB


class Bench:
    """One server, one small and one large file."""

    def __init__(self, chirp: Chirp, directory: Path, options: argparse.Namespace) -> None:
        self._chirp = chirp
        self._count = options.files
        self._tool = provision.require("chirp_put")
        self._small, self._large = directory / "small", directory / "large"
        self._small.write_bytes(os.urandom(options.size))
        with self._large.open("wb") as file:
            for _ in range(options.large):
                file.write(os.urandom(MB))

    async def round(self, number: int) -> dict[str, float]:
        """All figures once; each file has a new name."""
        server = ChirpServer(HOST, self._chirp.port, credentials=self._credentials())
        for name in (f"ours-{number}", f"tool-{number}"):
            await server.mkdir(name)
        figures = {
            "ours_files_per_s": self._count / await self._ours(server, number),
            "chirp_put_files_per_s": self._count / await asyncio.to_thread(self._tools, number),
            "chirp_put_a_hostname_files_per_s": self._count
            / await asyncio.to_thread(self._tools, number, "-a", "hostname"),
        }
        size, before = self._large.stat().st_size, peak()
        began = time.perf_counter()
        await server.put(f"ours-{number}/large", size, blocks(self._large))
        figures["ours_large_MB_per_s"] = size / MB / (time.perf_counter() - began)
        figures["growth_MB"] = peak() - before
        began = time.perf_counter()
        await asyncio.to_thread(self._put, self._large, f"tool-{number}/large", "-a", "hostname")
        figures["chirp_put_large_MB_per_s"] = size / MB / (time.perf_counter() - began)
        await server.remove_tree(f"ours-{number}")
        await server.remove_tree(f"tool-{number}")
        await server.close()
        return figures

    def _credentials(self) -> Credentials:
        return Credentials(methods=("unix",), challenges=self._chirp.challenges)

    async def _ours(self, server: ChirpServer, number: int) -> float:
        size, began = self._small.stat().st_size, time.perf_counter()
        puts = (server.put(f"ours-{number}/{name}", size, blocks(self._small)) for name in range(self._count))
        await asyncio.gather(*puts)
        return time.perf_counter() - began

    def _tools(self, number: int, *options: str) -> float:
        """`chirp_put` once a file, as a user runs it or with `options`."""
        began = time.perf_counter()
        for name in range(self._count):
            self._put(self._small, f"tool-{number}/{name}", *options)
        return time.perf_counter() - began

    def _put(self, path: Path, target: str, *options: str) -> None:
        argv = [str(self._tool.program), *options, str(path), f"{HOST}:{self._chirp.port}", target]
        subprocess.run(argv, check=True, capture_output=True, env=os.environ | self._tool.environment())


def _open_directory() -> Path:
    """One that the user as whom the server runs can reach."""
    directory = Path(tempfile.mkdtemp(prefix="bench-chirp-"))
    directory.chmod(0o711)
    return directory


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """All rounds on a server of our own."""
    directory = _open_directory()
    rights = {"unix:*": "rwlda", "hostname:*": "rwlda"}
    chirp = Chirp(directory / "chirp", rights=rights)
    await chirp.start()
    try:
        bench = Bench(chirp, directory, options)
        rounds = [await bench.round(number) for number in range(options.rounds)]
    finally:
        await chirp.stop()
        shutil.rmtree(directory)
    figures: dict[str, Any] = {
        name: round(statistics.median(one[name] for one in rounds), 1) for name in rounds[0]
    }

    def ratio(tool: str) -> list[float]:
        return [round(one["ours_files_per_s"] / one[f"{tool}_files_per_s"], 1) for one in rounds]

    return {
        **figures,
        "ratio_to_chirp_put": ratio("chirp_put"),
        "ratio_to_chirp_put_a_hostname": ratio("chirp_put_a_hostname"),
        "growth_MB": round(max(one["growth_MB"] for one in rounds), 1),
        "rounds": options.rounds,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=1000, help="how many small files")
    parser.add_argument("--size", type=int, default=1000, help="bytes of a small file")
    parser.add_argument("--large", type=int, default=200, help="MB of the large file")
    parser.add_argument("--rounds", type=int, default=3)
    print(json.dumps(asyncio.run(run(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
