"""A source and a finisher beside the generic ones, in the real programs: from a job file to somebody else's results."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

from redis.asyncio import Redis as Client

from copilot.job import State
from copilot.local.process import unprivileged_user
from copilot.local.redis import Redis
from tests.acceptance.running import LIMIT_S, Up, VariedSystem, script

FINISHER = """\
import asyncio, json, os, tarfile
from pathlib import Path

class Finisher:
    def __init__(self, target):
        self.target = target

    async def finish(self, record, package):
        await asyncio.to_thread(self.take, record, package)

    def take(self, record, package):
        told = self.target / f"{record.spec.id}.json"
        if told.exists():
            return
        with tarfile.open(package) as packed:
            stdout = packed.extractfile(f"{record.spec.id}/stdout").read().decode()
        part = told.with_suffix(".part")
        part.write_text(json.dumps([record.state, record.outcome.exit_code, stdout]))
        os.rename(part, told)

def make(context):
    return Finisher(Path(context.settings["PATH"]))
"""


def install(site: Path) -> None:
    """A package with an entry point, as pip would leave it."""
    facts = site / "my_grid-1.dist-info"
    facts.mkdir(parents=True)
    (site / "my_grid.py").write_text(FINISHER)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: my-grid\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[copilot.finishers]\nmy-grid = my_grid:make\n")


async def test_job_files_become_jobs_and_somebody_elses_finisher_gets_the_done_and_the_failed_one(
    up: Up, place: Path
) -> None:
    install(place / "site")
    jobs, results = place / "jobs", place / "results"
    for directory in (jobs, results):
        directory.mkdir()
        if (user := unprivileged_user()) is not None:
            shutil.chown(directory, user)
    script(jobs / "job.sh", 'echo "$WORD"; exit $1')
    system = VariedSystem(up.directory)
    system.more = (
        ("PYTHONPATH", str(place / "site")),
        ("JM_JOB_SOURCES", "generic directory"),
        ("SOURCE_DIRECTORY_PATH", str(jobs)),
        ("JM_FINISHER", "my-grid"),
        ("SM_FINISHER", "my-grid"),
        ("FINISHER_MY_GRID_PATH", str(results)),
    )
    async with system.running(), asyncio.timeout(LIMIT_S):
        for name, code in (("good", 0), ("bad", 3)):
            said = {"command": "job.sh", "arguments": str(code), "environment": {"WORD": name}}
            (jobs / f".{name}").write_text(json.dumps(said))
            (jobs / f".{name}").rename(jobs / f"{name}.json")
        (jobs / "wrong.json").write_text("{}")
        while len(list(results.glob("*.json"))) < 2:
            await asyncio.sleep(0.02)
        async with up.store() as store:
            while await store.unpublished():
                await asyncio.sleep(0.02)
            async with Client.from_url(Redis(up.directory / "redis").url) as tool:  # as tools of 2011 do it
                await tool.set("job:old:description", "chirp.invalid::::/data::::::::run.sh")
                await tool.rpush("waiting-jobs", "old")
            while (old := await store.get("old")) is None:
                await asyncio.sleep(0.02)
            assert (old.spec.chirp_server, old.spec.input_dir) == ("chirp.invalid:9094", "/data")
    assert json.loads((results / "good.json").read_text()) == [State.DONE, 0, "good\n"]
    assert json.loads((results / "bad.json").read_text()) == [State.FAILED, 3, "bad\n"]
    assert {path.name for path in (jobs / "taken").iterdir()} == {"good.json", "bad.json"}
    assert "command: missing" in (jobs / "rejected" / "wrong.error").read_text()
    assert list((up.directory / "done").iterdir()) == []
