"""From the release before to this version: jobs that wait, and one that runs all the while."""

from __future__ import annotations

from pathlib import Path

from copilot.job import State
from tests.acceptance.running import Up, script, until
from tests.versions.both import output_of, submitted
from tests.versions.previous import Release


def test_a_job_of_the_release_before_goes_on_under_new_managers_and_what_waits_follows(
    place: Path, old: Release
) -> None:
    before, after = Up(place / "system", programs=old.programs), Up(place / "system")
    place.chmod(0o777)
    text = f"touch {place}/begun; until [ -e {place}/go ]; do sleep 0.05; done; echo ended"
    with before.running("--agents", 0):
        submitted(before, script(place / "long.sh", text), "long")
        with before.agent(program="copilot-agent"):  # of this version
            until((place / "begun").exists, "the job, by a new agent from an old manager")
            hello = script(place / "hello.sh", "echo hello")
            submitted(before, hello, "plain")
            before.stop()
            with after.running("--agents", 0):
                assert after.record("long").state is State.RUNNING
                (place / "go").touch()
                for job in ("long", "plain"):
                    until(lambda job=job: after.record(job).state is State.DONE, job)
                    assert after.record(job).attempts_used == 1
                until(lambda: output_of(after, "long"), "its output")
                assert output_of(after, "long")["stdout"] == "ended\n"
