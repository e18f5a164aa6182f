"""The journal gives back what was written, and a damaged note harms nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from copilot.agent.effects import Assignment, Note, Taken
from copilot.agent.journal import attempt_name, read_notes, remove_note, write_note
from copilot.errors import BadName
from copilot.job import Cause, Outcome, Output
from copilot.protocol.commands import Job
from tests.unit.protocol.test_codec import values_of

ASSIGNMENT = Assignment(job=Job(id="j1", command="run.sh", attempt=2), manager="jm@x", claim="claim")
OUTCOME = Outcome(cause=Cause.USER_EXIT, exit_code=3, reason="r", output=Output(size=5, sha256="0" * 64))


@given(job=values_of(Job))
def test_any_job_comes_back_as_it_was_without_the_contents_of_files(job: Job) -> None:
    note = Note(assignment=Assignment(job=job, manager="jm@x", claim=None))
    bare = replace(job, inputs=tuple(replace(item, data=None) for item in job.inputs))
    assert Note.from_data(note.to_data()) == replace(note, assignment=replace(note.assignment, job=bare))


@pytest.mark.parametrize("outcome", [None, OUTCOME, Outcome(cause=Cause.OK, exit_code=0)])
def test_notes_survive_the_process(tmp_path: Path, outcome: Outcome | None) -> None:
    note = Note(assignment=ASSIGNMENT, outcome=outcome)
    write_note(tmp_path / "journal", Note(assignment=ASSIGNMENT))
    write_note(tmp_path / "journal", note)
    assert read_notes(tmp_path / "journal") == [note]
    assert [path.name for path in (tmp_path / "journal").iterdir()] == ["j1.a2.json"]


def test_nobody_else_reads_the_journal(tmp_path: Path) -> None:
    write_note(tmp_path / "journal", Note(assignment=ASSIGNMENT))
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700


def test_without_a_journal_there_are_no_notes(tmp_path: Path) -> None:
    assert read_notes(tmp_path / "journal") == []


def test_a_note_that_is_removed_is_gone_and_may_be_removed_again(tmp_path: Path) -> None:
    other = replace(ASSIGNMENT, job=replace(ASSIGNMENT.job, attempt=3))
    for assignment in (ASSIGNMENT, other):
        write_note(tmp_path, Note(assignment=assignment))
    remove_note(tmp_path, ASSIGNMENT)
    remove_note(tmp_path, ASSIGNMENT)
    assert [note.assignment for note in read_notes(tmp_path)] == [other]


def test_a_crash_while_a_note_is_written_leaves_the_one_before(tmp_path: Path) -> None:
    write_note(tmp_path, Note(assignment=ASSIGNMENT))
    (tmp_path / "j1.a2.new").write_text('{"assignment"')
    assert read_notes(tmp_path) == [Note(assignment=ASSIGNMENT)]


def test_a_peer_of_2011_knows_no_attempts() -> None:
    assert attempt_name(replace(ASSIGNMENT, job=Job(id="j1.a2", command="c"))) == "j1.a2.a1"


def test_an_id_that_is_none_becomes_no_path(tmp_path: Path) -> None:
    with pytest.raises(BadName):
        write_note(tmp_path, Note(assignment=replace(ASSIGNMENT, job=Job(id="../j", command="c"))))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"assignment": 3}', "\x00"])
def test_a_damaged_note_is_named_and_the_others_are_read(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bad.a1.json").write_text(text)
    write_note(tmp_path, Note(assignment=ASSIGNMENT))
    assert [note.assignment for note in read_notes(tmp_path)] == [ASSIGNMENT]
    assert "bad.a1.json cannot be read and is left alone" in caplog.text


def test_what_a_manager_of_2011_has_acknowledged_is_written_down(tmp_path: Path) -> None:
    taken = Taken(at=1_800_000_000.5, by="sm@x", claim="startedAt=1\n")
    note = Note(assignment=ASSIGNMENT, outcome=OUTCOME, ended=1_800_000_000.0, taken=taken)
    write_note(tmp_path, note)
    assert read_notes(tmp_path) == [note]


def test_a_note_of_an_older_version_is_read() -> None:
    data = Note(assignment=ASSIGNMENT, outcome=OUTCOME).to_data()
    del data["ended"], data["taken"]
    assert Note.from_data(data) == Note(assignment=ASSIGNMENT, outcome=OUTCOME)
