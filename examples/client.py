"""Jobs from a program: submit some, take their results as they come, and unpack one.

python examples/client.py [CONFIG]

CONFIG is a configuration file or directory of a system (`copilot up` makes DIR/etc); without it all runs in this process.
"""

import asyncio
import sys
import tempfile
from functools import partial
from pathlib import Path

import copilot
from copilot.client.api import Client
from copilot.local.in_process import alone

SCRIPT = """\
#!/bin/sh
echo "$1 times 7 is $(($1 * 7))" > answer
[ "$1" != 4 ]  # the fourth one fails
"""


async def main(client: Client, directory: Path) -> None:
    """All of it."""
    script = directory / "seven.sh"
    script.write_text(SCRIPT)
    async with client:
        jobs = await client.map(script, ["1", "2", "3", "4"])
        states = {result.job: result.state async for result in client.as_completed(jobs)}
        print("ended:", *(states[job] for job in jobs))

        result = await client.result(jobs[2], into=directory)
        print((directory / result.job / "answer").read_text(), end="")

        try:
            (await client.result(jobs[3])).check()
        except copilot.JobFailed as error:
            print("failed:", error.cause)


if __name__ == "__main__":
    connected = copilot.Client(sys.argv[1]) if len(sys.argv) > 1 else Client(partial(alone, agents=2))
    with tempfile.TemporaryDirectory() as place:
        asyncio.run(main(connected, Path(place)))
