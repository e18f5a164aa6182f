"""A job from submit to output in one process, without any server.

python examples/in_process.py [SCRIPT]
"""

import asyncio
import sys
import tarfile
import tempfile
from pathlib import Path

from copilot.client.follow import follow
from copilot.client.submission import Submission, submit
from copilot.files.staging import DiskStaging
from copilot.local.in_process import in_process
from copilot.store.memory import MemoryStore


async def main(script: Path) -> None:
    """Run `script` as a job and print what it printed."""
    with tempfile.TemporaryDirectory() as directory:
        async with in_process(Path(directory), MemoryStore()) as system:
            staging = DiskStaging(system.area, agents=())
            job = await submit(Submission(id="example", command=script), system.store, staging)
            async for event in follow(system.store, job.id):
                print(f"{event.kind:10} {event.agent}")
        with tarfile.open(system.done / job.id / f"{job.id}.tgz") as package:
            stdout = package.extractfile(f"{job.id}/stdout")
            assert stdout is not None
            print(stdout.read().decode(), end="")


if __name__ == "__main__":
    here = Path(__file__).parent
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else here / "calculator.sh"))
