"""What an agent shows of the outputs of running jobs: how much, how fast, and nothing else."""

from __future__ import annotations

import os
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import pytest

from copilot.agent.effects import Show
from copilot.agent.showing import BURST, CHUNK, CLOSER, FARTHEST, RATE, Part, Showing, answer, read_part
from copilot.protocol import codec
from copilot.protocol.commands import JobOutput, TailJob
from copilot.runtime.component import Finished, Perform, Send
from copilot.store.watched import LONGEST_CHUNK
from tests.unit.agent.test_logic import ASSIGNMENT, ONE, RUN, TWO, World

TAIL = TailJob(job_id="j1", attempt=1, stream="stdout", offset=3)
SHOW = Show(assignment=ASSIGNMENT, stream="stdout", offset=3, last=0, most=CHUNK, asker=ONE)


def test_a_part_is_read_by_its_offset_or_from_the_end(tmp_path: Path) -> None:
    file = tmp_path / "stdout"
    file.write_bytes(b"0123456789")
    assert read_part(file, SHOW) == Part(offset=3, size=10, data=b"3456789")
    assert read_part(file, replace(SHOW, most=2)) == Part(offset=3, size=10, data=b"34")
    assert read_part(file, replace(SHOW, offset=None, last=4)) == Part(offset=6, size=10, data=b"6789")
    assert read_part(file, replace(SHOW, offset=None, last=99)) == Part(offset=0, size=10, data=b"0123456789")
    assert read_part(file, replace(SHOW, offset=10)) == Part(offset=10, size=10, data=b"")
    assert read_part(file, replace(SHOW, offset=99)).data == b""  # it was made shorter


def test_who_is_far_behind_goes_on_near_the_end(tmp_path: Path) -> None:
    file = tmp_path / "stdout"
    with file.open("wb") as made:
        made.truncate(2 * FARTHEST)
    found = read_part(file, SHOW)
    assert (found.offset, len(found.data)) == (2 * FARTHEST - CLOSER, CHUNK)


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory", "missing"])
def test_what_a_payload_has_put_in_its_place_is_not_read(tmp_path: Path, kind: str) -> None:
    secret, file = tmp_path / "secret", tmp_path / "stdout"
    secret.write_bytes(b"the key of the agent")
    if kind == "symlink":
        file.symlink_to(secret)
    elif kind == "fifo":
        os.mkfifo(file)
    elif kind == "directory":
        file.mkdir()
    assert read_part(file, SHOW) == Part(offset=3, size=3, data=b"")


def test_each_output_is_shown_at_a_bounded_rate() -> None:
    showing, now = Showing(), 5.0
    first = 0
    while (most := showing.take(TAIL, now)) > 0:
        assert most <= CHUNK
        first += most
    assert first == BURST
    assert showing.take(TAIL, now) == 0
    assert showing.take(replace(TAIL, stream="stderr"), now) == CHUNK
    assert showing.take(TAIL, now + 0.1) == int(RATE / 10)
    showing.keep({"other"})
    assert showing.take(TAIL, now) == CHUNK  # a new job of that name


def test_an_answer_fits_into_a_message() -> None:
    said = answer(SHOW, Part(offset=3, size=2**40, data=os.urandom(CHUNK)))
    assert isinstance(said, JobOutput)
    assert sum(len(value) for value in codec.encode(said).attributes.values()) < 40_000
    assert CHUNK <= LONGEST_CHUNK


def test_its_manager_is_shown_what_a_job_prints_and_nobody_else() -> None:
    world = World()
    world.hear(RUN, sender=ONE)
    (wanted,) = world.hear(TAIL, sender=TWO)
    assert wanted == Perform(effect=replace(SHOW, asker=TWO))
    done = Finished(effect=replace(SHOW, asker=TWO), result=Part(offset=3, size=9, data=b"ab"))
    (said,) = world.tell(done)
    assert said == Send(
        to=TWO,
        command=JobOutput(
            job_id="j1", attempt=1, stream="stdout", offset=3, size=9, data=b64encode(b"ab").decode()
        ),
    )
    assert world.tell(replace(done, result=OSError("no room for threads"))) == []
    for other in (replace(TAIL, attempt=2), replace(TAIL, job_id="j2"), replace(TAIL, stream="../x")):
        assert world.hear(other, sender=ONE) == []
    assert world.hear(TAIL, sender="stranger@x/one") == []
