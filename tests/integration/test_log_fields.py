"""Every line that is about a job, an attempt or a message says so in fields; at `info` a job is four lines."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from copilot.client.follow import follow
from copilot.client.submission import Submission, submit
from copilot.files.staging import DiskStaging
from copilot.local.in_process import in_process
from copilot.log import JsonFormatter
from copilot.store.memory import MemoryStore

JOB = "a-job-of-this-test"


@pytest.fixture(name="stream")
def stream_fixture() -> Iterator[io.StringIO]:
    """What our loggers say, at `debug`, as JSON lines."""
    ours, stream = logging.getLogger("copilot"), io.StringIO()
    handler, level = logging.StreamHandler(stream), ours.level
    handler.setFormatter(JsonFormatter("test"))
    ours.addHandler(handler)
    ours.setLevel(logging.DEBUG)
    yield stream
    ours.removeHandler(handler)
    ours.setLevel(level)


async def played(directory: Path, stream: io.StringIO, text: str) -> list[dict[str, Any]]:
    """The lines of a job with this script, from its way in to its way out."""
    script = directory / "job.sh"
    script.write_text(f"#!/bin/sh\n{text}\n")
    async with in_process(directory / "system", MemoryStore()) as system:
        staging = DiskStaging(system.area, agents=())
        await submit(Submission(id=JOB, command=script), system.store, staging)
        async for _ in follow(system.store, JOB):
            pass
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(("text", "well"), [("echo 4", True), ("exit 3", False)])
async def test_each_line_about_a_job_has_its_fields(
    tmp_path: Path, stream: io.StringIO, text: str, well: bool
) -> None:
    lines = await played(tmp_path, stream, text)
    about = [line for line in lines if JOB in line["message"]]
    assert {line.get("job") for line in about} == {JOB}
    no_attempt = [line["message"] for line in about if line.get("attempt") != 1]
    assert all("jobDone" in message or "Got ACK for" in message for message in no_attempt), no_attempt
    ids = [line["message_id"] for line in lines if "message_id" in line]
    assert len(set(ids)) > 4
    assert not [
        line for line in lines if "message_id" not in line and any(one in line["message"] for one in ids)
    ]

    told = [(line["logger"], line["level"]) for line in about if line["level"] != "debug"]
    end = "info" if well else "warning"
    assert told == [
        ("copilot.jobmanager", "info"),  # handed to
        ("copilot.agent", "info"),  # got it
        ("copilot.agent", end),  # how it ended
        ("copilot.storagemanager", end),
    ]
    assert not [line for line in lines if line["level"] == "error"]
    last = about[-1] if about[-1]["level"] != "debug" else [one for one in about if one["level"] == end][-1]
    assert last["jid"].startswith("agent-1@")
    words = (
        f"job {JOB}, attempt 1: done (ok, exit code 0, after"
        if well
        else "failed (user-exit, exit code 3, after"
    )
    assert words in last["message"]
