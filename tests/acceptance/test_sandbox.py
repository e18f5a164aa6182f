"""A job that looks around, through the agent of the embedded system: it finds what is its own and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from copilot.local.provision import find
from tests.acceptance.running import Up, packed, script
from tests.missing import missing

LOOKS = """\
for place in {system}/etc {system} {system}/work {system}/agents /etc/copilot/; do
    ls "$place" 2>/dev/null && echo "FOUND $place"
done
grep -s -a -l -i password /proc/[0-9]*/environ /proc/[0-9]*/cmdline && echo FOUND a password
kill -0 $(($$ - 3)) 2>/dev/null && echo FOUND a process of somebody else
env | grep -i -e password -e AGENT_ && echo FOUND a setting
echo "in $PWD"
echo result >result
"""


def test_a_job_finds_what_is_its_own_and_nothing_else(
    up: Up, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find("bwrap") is None:
        missing("bubblewrap is not installed: make servers")
    monkeypatch.setenv("AGENT_SANDBOX", "bubblewrap")
    with up.running():
        job = up.job(script(place / "job.sh", LOOKS.format(system=up.directory)))
        log = up.log("agent-1")
    assert job["state"] == "done", job
    files = packed(job)
    assert files["stdout"] == "in /job/payload\n"
    assert files["result"] == "result\n"
    assert "sandbox: bubblewrap+net" in log
