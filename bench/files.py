"""Large and small files through our clients, beside the C tools that users have: `chirp_put`, `chirp_get`, `curl`.

    python -m bench.files [--short] [--rounds 5] [--large 200] [--files 1000] [--size 1000]

One real chirp_server, where we have the rights of an agent, and one real copilot-fileserver, by HTTP. In each round both
do the same, one after the other; what counts is the median of the rounds' ratios. We check size and SHA-256 of all that
moves, the tools do not. They are run with their quickest way to log in (`-a hostname`) for a large file, and for small
ones as a user would run them. Prints one JSON object with rows.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import fileserver
from bench.fileserver import HttpArea
from bench.row import Row
from copilot.errors import ServerMissing
from copilot.files.base import FileClient, FileFacts
from copilot.files.chirp.authentication import Credentials
from copilot.files.chirp.client import ChirpClient
from copilot.files.http import HttpClient
from copilot.local import provision
from copilot.local.chirp import Chirp

HOST = "127.0.0.1"
MB = 1_000_000
RIGHTS = {"unix:*": "rwlda", "hostname:*": "rwl"}  # an agent may write, and rename nothing
QUICKEST = ("-a", "hostname")
HERE = "{}"  # in a command: the file

CHIRP_UP, CHIRP_DOWN = "200 MB by Chirp, to chirp_put", "200 MB by Chirp, to chirp_get"
HTTP_UP, HTTP_DOWN = "200 MB up by HTTP, to curl", "200 MB down by HTTP, to curl"
CHIRP_SMALL = "1,000 files of 1 kB by Chirp, to chirp_put once a file"
CHIRP_QUICK = "1,000 files of 1 kB by Chirp, to chirp_put -a hostname once a file"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One thing done by us and by a tool in the same round, in its unit a second."""

    ours: float
    tool: float

    @property
    def ratio(self) -> float:
        return self.ours / self.tool


class Large:
    """One large file, up and down."""

    def __init__(self, directory: Path, megabytes: int) -> None:
        self._directory = directory
        self.source = directory / "large"
        digest = hashlib.sha256()
        with self.source.open("wb") as file:
            for _ in range(megabytes):
                block = os.urandom(MB)
                digest.update(block)
                file.write(block)
        self.facts = FileFacts(size=megabytes * MB, sha256=digest.hexdigest())

    async def up(self, client: FileClient, url: str, tool: Sequence[str | Path]) -> Pair:
        """The tool stores under a name of its own."""
        ours = await _timed(lambda: client.put(self.source, url, facts=self.facts))
        return self._pair(ours, await _timed(lambda: _run(tool, self.source)))

    async def down(self, client: FileClient, url: str, tool: Sequence[str | Path]) -> Pair:
        """Both write a new file."""
        mine, its = self._directory / "down-ours", self._directory / "down-tool"
        facts = self.facts
        ours = await _timed(lambda: client.get(url, mine, size=facts.size, sha256=facts.sha256))
        pair = self._pair(ours, await _timed(lambda: _run(tool, its)))
        for path in (mine, its):
            path.unlink()
        return pair

    def _pair(self, ours: float, tool: float) -> Pair:
        megabytes = self.facts.size / MB
        return Pair(ours=megabytes / ours, tool=megabytes / tool)


class ChirpBench:
    """Everything by Chirp."""

    def __init__(self, chirp: Chirp, directory: Path, options: argparse.Namespace) -> None:
        self._chirp = chirp
        self._count = options.files
        self._small = directory / "small"
        data = os.urandom(options.size)
        self._small.write_bytes(data)
        self._facts = FileFacts(size=len(data), sha256=hashlib.sha256(data).hexdigest())
        self._put, self._get = (provision.require(name) for name in ("chirp_put", "chirp_get"))
        self._address = f"{HOST}:{chirp.port}"

    async def round(self, number: int, large: Large) -> dict[str, Pair]:
        """All pairs once, in a new directory."""
        owner = ChirpClient(credentials=Credentials(methods=("unix",), challenges=self._chirp.challenges))
        agent = ChirpClient(credentials=Credentials(methods=("hostname",)))
        here, there = f"round-{number}", owner.server(HOST, self._chirp.port)
        await there.mkdir(here)
        try:
            return {
                CHIRP_UP: await large.up(
                    agent, self._url(here, "ours"), self._putting(here, "tool", *QUICKEST)
                ),
                CHIRP_DOWN: await large.down(agent, self._url(here, "ours"), self._getting(here, "ours")),
                CHIRP_SMALL: Pair(
                    ours=self._count / await _timed(lambda: self._ours(agent, here)),
                    tool=self._count / await _timed(lambda: self._tool(here)),
                ),
                CHIRP_QUICK: Pair(
                    ours=self._count / await _timed(lambda: self._ours(agent, here)),
                    tool=self._count / await _timed(lambda: self._tool(here, *QUICKEST)),
                ),
            }
        finally:
            await there.remove_tree(here)
            await agent.close()
            await owner.close()

    def _url(self, directory: str, name: str) -> str:
        return f"{self._chirp.url}/{directory}/{name}"

    def _putting(self, directory: str, name: str, *options: str) -> list[str | Path]:
        return [self._put.program, *options, HERE, self._address, f"{directory}/{name}"]

    def _getting(self, directory: str, name: str) -> list[str | Path]:
        return [self._get.program, *QUICKEST, self._address, f"{directory}/{name}"]

    async def _ours(self, client: ChirpClient, directory: str) -> None:
        names = (f"ours-{number}" for number in range(self._count))
        await asyncio.gather(
            *(client.put(self._small, self._url(directory, name), facts=self._facts) for name in names)
        )

    async def _tool(self, directory: str, *options: str) -> None:
        """Once a file."""
        for number in range(self._count):
            await _run(self._putting(directory, f"tool-{number}", *options), self._small)


class HttpBench:
    """A large file by HTTP."""

    def __init__(self, area: HttpArea) -> None:
        if (found := shutil.which("curl")) is None:
            raise ServerMissing("curl is not installed; install it with the package manager of this system")
        self._curl = (found, "--silent", "--show-error", "--fail")
        self._area = area

    async def round(self, number: int, large: Large) -> dict[str, Pair]:
        """Both pairs once."""
        client, jobs = HttpClient(), [f"{who}-{number}" for who in ("given", "ours", "tool")]
        given = await self._area.offer(jobs[0], large.source)
        ours, tools = (self._area.upload(job, large.facts.size) for job in jobs[1:])
        try:
            return {
                HTTP_UP: await large.up(client, ours, [*self._curl, tools, "--upload-file"]),
                HTTP_DOWN: await large.down(client, given, [*self._curl, given, "--output"]),
            }
        finally:
            await client.close()
            await self._area.drop(*jobs)


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    """Seconds that it took."""
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def _run(command: Sequence[str | Path], path: Path) -> None:
    """A tool with its file: in the place of `HERE`, or as the last argument."""
    argv = [path if word == HERE else word for word in command]
    argv += [] if HERE in command else [path]
    await asyncio.to_thread(
        subprocess.run, argv, check=True, stdout=subprocess.DEVNULL, env=_tool_environment()
    )


def _tool_environment() -> dict[str, str]:
    return {**os.environ, **provision.require("chirp_put").environment(), "PATH": os.environ["PATH"]}


async def measure(options: argparse.Namespace) -> list[Row]:
    """All rounds on servers of our own."""
    with tempfile.TemporaryDirectory(prefix="copilot-bench-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # the servers run as another user
        large = await asyncio.to_thread(Large, directory, options.large)
        chirp = Chirp(directory / "chirp", rights=RIGHTS)
        await chirp.start()
        try:
            async with fileserver.running(directory) as area:
                benches = (ChirpBench(chirp, directory, options), HttpBench(area))
                before = _peak()
                rounds = [
                    await bench.round(number, large) for number in range(options.rounds) for bench in benches
                ]
        finally:
            await chirp.stop()
    names = {name: None for found in rounds for name in found}
    rows = [_row(name, [found[name] for found in rounds if name in found]) for name in names]
    grown = Row(name="memory that our clients took for all that", unit="MB", value=round(_peak() - before, 1))
    return [*rows, grown]


def _peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB


def _row(name: str, pairs: Sequence[Pair]) -> Row:
    small = name in (CHIRP_SMALL, CHIRP_QUICK)
    ratios = [pair.ratio * (1 if small else 100) for pair in pairs]
    what = "files/s" if small else "MB/s"
    ours, tool = (statistics.median(getattr(pair, who) for pair in pairs) for who in ("ours", "tool"))
    return Row(
        name=name,
        unit="times" if small else "%",
        value=round(statistics.median(ratios), 1),
        rounds=tuple(round(ratio, 1) for ratio in ratios),
        note=f"ours {ours:.0f} {what}, the tool {tool:.0f}; SHA-256 on our side alone",
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", type=int, default=200, help="MB of the large file")
    parser.add_argument("--files", type=int, default=1000, help="how many small files")
    parser.add_argument("--size", type=int, default=1000, help="bytes of a small file")
    parser.add_argument("--short", action="store_true", help="3 rounds with 200 small files")
    options = parser.parse_args()
    if options.short:
        options.rounds, options.files = 3, 200
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what runs is stopped first
    rows = asyncio.run(measure(options))
    print(json.dumps({"rows": [row.to_json() for row in rows]}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
