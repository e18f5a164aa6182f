"""The journal gives back what was written, and a damaged note harms nothing else."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from copilot.agent.effects import Assignment, Note, Taken
from copilot.agent.journal import LARGEST, Journal, Kept, attempt_name
from copilot.errors import BadName
from copilot.job import Cause, Outcome, Output
from copilot.protocol.commands import Job
from tests.unit.protocol.test_codec import values_of

ASSIGNMENT = Assignment(job=Job(id="j1", command="run.sh", attempt=2), manager="jm@x", claim="claim")
OUTCOME = Outcome(cause=Cause.USER_EXIT, exit_code=3, reason="r", output=Output(size=5, sha256="0" * 64))


@given(job=values_of(Job))
def test_of_any_job_comes_back_what_its_report_needs(job: Job) -> None:
    note = Note(assignment=Assignment(job=job, manager="jm@x", claim=None))
    needed = Job(
        id=job.id, command=job.command, attempt=job.attempt, lease=job.lease, exclusive=job.exclusive
    )
    data = json.loads(json.dumps(note.to_data()))
    assert Note.from_data(data) == replace(note, assignment=replace(note.assignment, job=needed))


def notes(directory: Path) -> list[Note]:
    """What the next life of the agent reads."""
    return [kept.note for kept in Journal(directory).read()]


@pytest.mark.parametrize("outcome", [None, OUTCOME, Outcome(cause=Cause.OK, exit_code=0)])
def test_notes_survive_the_process(tmp_path: Path, outcome: Outcome | None) -> None:
    note = Note(assignment=ASSIGNMENT, outcome=outcome)
    journal = Journal(tmp_path / "journal")
    journal.keep(Note(assignment=ASSIGNMENT))
    journal.keep(note)
    for _ in range(2):
        assert notes(tmp_path / "journal") == [note]


def test_small_outputs_survive_with_their_note(tmp_path: Path) -> None:
    kept = Kept(note=Note(assignment=ASSIGNMENT, outcome=OUTCOME), package=bytes(range(256)))
    Journal(tmp_path).keep(kept.note, kept.package)
    assert Journal(tmp_path).read() == [kept]


def test_nobody_else_reads_the_journal(tmp_path: Path) -> None:
    Journal(tmp_path / "journal").keep(Note(assignment=ASSIGNMENT))
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "journal" / "notes").stat().st_mode & 0o777 == 0o600


def test_without_a_journal_there_are_no_notes(tmp_path: Path) -> None:
    assert Journal(tmp_path / "journal").read() == []
    assert not (tmp_path / "journal").exists()


def test_a_note_that_is_dropped_is_gone_and_may_be_dropped_again(tmp_path: Path) -> None:
    other = replace(ASSIGNMENT, job=replace(ASSIGNMENT.job, attempt=3))
    journal = Journal(tmp_path)
    for assignment in (ASSIGNMENT, other):
        journal.keep(Note(assignment=assignment))
    journal.drop(ASSIGNMENT)
    journal.drop(ASSIGNMENT)
    assert [note.assignment for note in notes(tmp_path)] == [other]


def test_a_note_of_a_former_life_may_be_replaced_and_dropped(tmp_path: Path) -> None:
    Journal(tmp_path).keep(Note(assignment=ASSIGNMENT))
    journal = Journal(tmp_path)
    journal.read()
    journal.keep(Note(assignment=ASSIGNMENT, outcome=OUTCOME))
    assert notes(tmp_path) == [Note(assignment=ASSIGNMENT, outcome=OUTCOME)]
    journal = Journal(tmp_path)
    journal.read()
    journal.drop(ASSIGNMENT)
    assert notes(tmp_path) == []


def test_the_newer_note_counts_if_the_older_one_was_not_struck_out_yet(tmp_path: Path) -> None:
    old, new = Note(assignment=ASSIGNMENT), Note(assignment=ASSIGNMENT, outcome=OUTCOME)
    for name, note in (("1", old), ("2", new)):
        Journal(tmp_path / name).keep(note)
    (tmp_path / "journal").mkdir()
    texts = [(tmp_path / name / "notes").read_bytes() for name in ("1", "2")]
    (tmp_path / "journal" / "notes").write_bytes(b"".join(texts))
    assert notes(tmp_path / "journal") == [new]


def test_the_file_does_not_grow_with_the_number_of_jobs(tmp_path: Path) -> None:
    journal, package = Journal(tmp_path), bytes(16 * 1024)
    journal.keep(Note(assignment=ASSIGNMENT), package)
    for number in range(3, 200):
        assignment = replace(ASSIGNMENT, job=replace(ASSIGNMENT.job, attempt=number))
        journal.keep(Note(assignment=assignment), package)
        journal.drop(assignment)
        assert (tmp_path / "notes").stat().st_size < LARGEST + 2 * len(package)
    assert Journal(tmp_path).read() == [Kept(note=Note(assignment=ASSIGNMENT), package=package)]


def test_a_crash_while_a_note_is_written_leaves_the_one_before(tmp_path: Path) -> None:
    Journal(tmp_path).keep(Note(assignment=ASSIGNMENT))
    text = (tmp_path / "notes").read_bytes()
    (tmp_path / "notes").write_bytes(text + text[: len(text) // 2])
    assert notes(tmp_path) == [Note(assignment=ASSIGNMENT)]
    assert (tmp_path / "notes").read_bytes() == text


def test_a_full_disk_keeps_no_agent_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    other = replace(ASSIGNMENT, job=replace(ASSIGNMENT.job, attempt=3))
    for assignment in (ASSIGNMENT, other):
        journal.keep(Note(assignment=assignment))
    with (tmp_path / "notes").open("ab") as file:
        file.write(b'+{"torn')

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    after = Journal(tmp_path)
    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_bytes", full)
        assert [kept.note.assignment for kept in after.read()] == [ASSIGNMENT, other]
    after.drop(other)
    after.keep(Note(assignment=ASSIGNMENT, outcome=OUTCOME))
    assert notes(tmp_path) == [Note(assignment=ASSIGNMENT, outcome=OUTCOME)]


def test_on_a_full_disk_nothing_is_noted_and_everything_can_be_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(ASSIGNMENT, job=replace(ASSIGNMENT.job, attempt=3))
    journal = Journal(tmp_path)
    journal.keep(Note(assignment=ASSIGNMENT))
    really = os.pwrite

    def pwrite(file: int, data: bytes, at: int) -> int:
        room = (tmp_path / "notes").stat().st_size - at
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return really(file, data[:room], at)

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", pwrite)
        with pytest.raises(OSError, match="No space"):
            journal.keep(Note(assignment=other))
        journal.drop(ASSIGNMENT)
    journal.keep(Note(assignment=other))
    assert [note.assignment for note in notes(tmp_path)] == [other]


def test_a_peer_of_2011_knows_no_attempts() -> None:
    assert attempt_name(replace(ASSIGNMENT, job=Job(id="j1.a2", command="c"))) == "j1.a2.a1"


def test_an_id_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadName):
        Journal(tmp_path).keep(Note(assignment=replace(ASSIGNMENT, job=Job(id="../j", command="c"))))


@pytest.mark.parametrize("text", ["+", "+{}", "+[]", '+{"note": {"job": 3}}', "\x00", "note"])
def test_a_damaged_line_is_named_and_kept_and_the_others_are_read(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    Journal(tmp_path).keep(Note(assignment=ASSIGNMENT))
    damaged = (tmp_path / "notes").read_text() + text + "\n"
    (tmp_path / "notes").write_text(damaged)
    assert [note.assignment for note in notes(tmp_path)] == [ASSIGNMENT]
    assert "notes, line 2 cannot be read" in caplog.text
    assert (tmp_path / "notes.damaged").read_text() == damaged


def test_what_a_manager_of_2011_has_acknowledged_is_written_down(tmp_path: Path) -> None:
    taken = Taken(at=1_800_000_000.5, by="sm@x", claim="startedAt=1\n")
    note = Note(assignment=ASSIGNMENT, outcome=OUTCOME, ended=1_800_000_000.0, taken=taken)
    Journal(tmp_path).keep(note)
    assert notes(tmp_path) == [note]
