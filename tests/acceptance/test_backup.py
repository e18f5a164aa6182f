"""A copy of a running system, as docs/operating.md tells to make it, put back elsewhere: no job is lost."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from pathlib import Path

import psutil
import redis

from copilot.job import State
from copilot.local.process import unprivileged_user
from copilot.local.redis import Redis
from tests.acceptance.running import Up, VariedSystem, packed, processes_of, run, script, until

LEFT_OUT = (
    "redis/data",
    "work",
    "log",
    "lock",
)  # a snapshot instead of the first; of the others nothing is needed
JOBS = {"over": "cat words", "cut": "sleep 600; cat words", "next": "cat words"}


def backup(up: Up, target: Path) -> None:
    """The queue."""
    with redis.Redis.from_url(Redis(up.directory / "redis").url) as client:
        client.bgsave()
        until(lambda: not client.info("persistence")["rdb_bgsave_in_progress"], "the snapshot")
        assert client.info("persistence")["rdb_last_bgsave_status"] == "ok"
    target.mkdir()
    shutil.copyfile(up.directory / "redis" / "data" / "dump.rdb", target / "dump.rdb")


def backup_files(up: Up, target: Path) -> None:
    """The rest, later: files that the queue does not know yet do no harm, missing ones would."""
    options = [f"--exclude=./{path}" for path in LEFT_OUT]
    subprocess.run(["tar", "-C", up.directory, *options, "-czf", target / "files.tgz", "."], check=True)


def restore(target: Path, up: Up) -> None:
    data = up.directory / "redis" / "data"
    up.directory.mkdir(mode=0o711)
    subprocess.run(["tar", "-C", up.directory, "-xpzf", target / "files.tgz"], check=True)
    data.mkdir(mode=0o700)
    shutil.copyfile(target / "dump.rdb", data / "appendonly.aof")
    if (user := unprivileged_user()) is not None:
        for path in (data, data / "appendonly.aof"):
            shutil.chown(path, user)


def end_sleep(up: Up) -> None:
    """Have the job of this system go on that sleeps."""

    def sleeping() -> psutil.Process | None:
        for process in processes_of(up.directory):
            with contextlib.suppress(psutil.Error):
                if process.cmdline() == ["sleep", "600"]:
                    return process
        return None

    found = until(sleeping, "a job that sleeps")
    assert found
    found.kill()


def submit_and_copy(lost: Up, words: Path, copy: Path) -> None:
    """One job that is over, one that runs, one that waits for that; both end between the copies of queue and files."""
    after = {"next": ["--after", "cut"]}
    for job, text in JOBS.items():
        options = ("--config", lost.etc, "--id", job, "--input", words, *after.get(job, ()))
        done = run("copilot", "submit", *options, script(words.with_name(f"{job}.sh"), text))
        assert done.returncode == 0, done.stderr
    until((lost.directory / "done" / "over" / "over.tgz").exists, "the first job's output")
    until(lambda: lost.record("cut").state is State.RUNNING, "a running job")
    backup(lost, copy)
    end_sleep(lost)
    until((lost.directory / "done" / "next" / "next.tgz").exists, "their end, after the snapshot")
    backup_files(lost, copy)


def look(back: Up) -> None:
    """All is there, and goes on."""
    assert [back.record(job).state for job in ("over", "next")] == [State.DONE, State.BLOCKED]
    end_sleep(back)  # it runs once more, for no agent has it any more
    until(lambda: back.record("next").state is State.DONE, "the end of the last one")
    assert [back.record(job).attempt for job in JOBS] == [1, 2, 1]
    for job in ("cut", "next"):
        assert packed({"id": job, "output": back.directory / "done" / job / f"{job}.tgz"})["stdout"] == "kept"
    shown = run("copilot", "jobs", "output", "--config", back.etc, "over", "stdout")
    assert shown.stdout == "kept", shown.stderr


async def test_a_copy_of_a_running_system_goes_on_in_another_place(place: Path) -> None:
    lost, back, copy, words = (Up(place / "lost"), Up(place / "back"), place / "copy", place / "words")
    words.write_text("kept")
    for up, act in ((lost, lambda: submit_and_copy(lost, words, copy)), (back, lambda: look(back))):
        if up is back:
            shutil.rmtree(lost.directory)
            restore(copy, back)
        system = VariedSystem(up.directory)
        system.more = (("JM_LEASE", "5s"),)
        async with system.running():
            await asyncio.to_thread(act)
