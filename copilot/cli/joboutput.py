"""`copilot jobs output`: what a job has left: its files listed, one of them printed, or all of them unpacked."""

from __future__ import annotations

import asyncio
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from copilot.cli.looking import job_of, load_queue, opened
from copilot.cli.options import AsJson, ConfigOption, Remote
from copilot.cli.output import Shown, show
from copilot.cli.storage import open_staging
from copilot.cli.tables import Column, Table
from copilot.client.access import LARGEST_UNPACKED
from copilot.client.at_queue import QueueAccess
from copilot.client.places import area_here, chirp_named
from copilot.errors import BadName, ConfigError, TransferCorrupt, TransferRefused
from copilot.files.archive import MAX_MEMBERS
from copilot.files.base import BLOCK
from copilot.files.unpack import Limits, extract
from copilot.job import sized
from copilot.jobmanager.config import SubmitConfig

COLUMNS = (Column(title="SIZE", right=True), Column(title="FILE"))


def output(
    job: Annotated[str, typer.Argument(metavar="ID", help="Id of the job.")],
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="Print this file of it, like stdout.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIRECTORY", help="Unpack all of it below this directory.")
    ] = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
    remote: Remote = False,
) -> None:
    """List the files of a job's output, print one of them, or unpack all with --to."""
    job = job_of(config, job, remote=remote)
    if file is not None and (to is not None or as_json):
        raise ConfigError("one file is printed as it is: leave --to and --json out")
    if to is not None and not to.is_dir():
        raise ConfigError(f"--to {to}: expected a directory that exists")
    with tempfile.TemporaryDirectory(prefix="copilot-") as place:
        package = Path(place) / f"{job}.tgz"
        if remote:
            from copilot.cli import from_afar

            with from_afar.settings(config) as settings:
                found = asyncio.run(from_afar.fetch(settings, job, package))
        else:
            found = asyncio.run(_fetch(load_queue(config), job, package))
        if not found:
            raise TransferRefused(f"job {job} has no output: `copilot jobs explain {job}` says how it stands")
        if file is not None:
            _print(package, job, file)
        elif to is not None:
            extract(package, to, Limits(size=LARGEST_UNPACKED))
            show(
                Shown(data={"job": job, "directory": str(to / job)}, lines=lambda _: [str(to / job)]),
                as_json=as_json,
            )
        else:
            _list(package, job, as_json=as_json)


async def _fetch(config: SubmitConfig, job: str, package: Path) -> bool:
    async with (
        opened(config) as store,
        open_staging(config, area_here(None, config), chirp_named(None, config)) as staging,
    ):
        access = QueueAccess(store, staging, done=config.done_job_dir)
        try:
            return await access.fetch(job, package)
        finally:
            await access.close()


@contextmanager
def _opened(package: Path) -> Iterator[Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]]:
    """Its members, one by one, no more than an honest package has."""
    try:
        with tarfile.open(package, "r:gz") as archive:

            def members() -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
                for _ in range(MAX_MEMBERS):
                    member = archive.next()
                    if member is None:
                        return
                    yield archive, member

            yield members()
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise TransferCorrupt(f"the output is no complete tar archive: {error}") from error


def _name(member: tarfile.TarInfo, job: str) -> str:
    """As the job called it."""
    return member.name.removeprefix("./").removeprefix(f"{job}/")


def _list(package: Path, job: str, *, as_json: bool) -> None:
    with _opened(package) as members:
        files = [(_name(member, job), member.size) for _, member in members if member.isreg()]
    rows = [[sized(size), name] for name, size in files]
    data = {"job": job, "files": [{"name": name, "size": size} for name, size in files]}
    show(Shown(data=data, lines=Table(columns=COLUMNS, rows=rows).lines), as_json=as_json)


def _print(package: Path, job: str, wanted: str) -> None:
    """Bytes, as they are: they may be meant for a file."""
    with _opened(package) as members:
        for archive, member in members:
            if member.isreg() and _name(member, job) == wanted.removeprefix("./"):
                source = archive.extractfile(member)
                assert source is not None
                sys.stdout.flush()
                while block := source.read(BLOCK):
                    sys.stdout.buffer.write(block)
                sys.stdout.buffer.flush()
                return
    raise BadName(f"{wanted[:140]!r}: job {job} has no such file: `copilot jobs output {job}` lists them")
