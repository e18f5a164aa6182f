"""The journal gives back what was written, and a damaged note harms nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from copilot.agent.effects import Assignment, Note
from copilot.agent.journal import NOTE, read_notes, write_note
from copilot.job import Cause, Outcome, Output
from copilot.protocol.commands import Job
from tests.unit.protocol.test_codec import values_of

ASSIGNMENT = Assignment(job=Job(id="j1", command="run.sh", attempt=2), manager="jm@x", claim="claim")
OUTCOME = Outcome(cause=Cause.USER_EXIT, exit_code=3, reason="r", output=Output(size=5, sha256="0" * 64))


@given(job=values_of(Job))
def test_any_job_comes_back_as_it_was(job: Job) -> None:
    note = Note(assignment=Assignment(job=job, manager="jm@x", claim=None))
    assert Note.from_data(note.to_data()) == note


@pytest.mark.parametrize("outcome", [None, OUTCOME, Outcome(cause=Cause.OK, exit_code=0)])
def test_notes_survive_the_process(tmp_path: Path, outcome: Outcome | None) -> None:
    note = Note(assignment=ASSIGNMENT, outcome=outcome)
    (tmp_path / "j1.a2").mkdir()
    write_note(tmp_path / "j1.a2", Note(assignment=ASSIGNMENT))
    write_note(tmp_path / "j1.a2", note)
    assert read_notes(tmp_path) == [note]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"assignment": 3}', "\x00"])
def test_a_damaged_note_is_named_and_the_others_are_read(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "good").mkdir()
    (tmp_path / "bad" / NOTE).write_text(text)
    write_note(tmp_path / "good", Note(assignment=ASSIGNMENT))
    assert [note.assignment for note in read_notes(tmp_path)] == [ASSIGNMENT]
    assert "left alone" in caplog.text
