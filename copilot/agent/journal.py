"""What the agent must not forget over its own death: one note per attempt, `<journal>/<job>.a<attempt>.json`.

The journal lies beside the attempts' directories, not in them: what a payload does to its own leaves the note alone.
(It runs as the agent's user, so nothing but a sandbox with users of its own could keep it from trying.)

A note is written before the job is acknowledged. No fsync: a power cut of the agent's machine is covered by the
manager's time limits (protocol page, section 1, "Durable").
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from copilot.agent.effects import Assignment, Note
from copilot.job import check_job_id

log = logging.getLogger("copilot.agent")

_NOTE = ".json"


def attempt_name(assignment: Assignment) -> str:
    """`<job>.a<attempt>`, also the name of the attempt's directory. Raises `BadName` for a bad job id."""
    return f"{check_job_id(assignment.id)}.a{assignment.job.attempt or 1}"


def write_note(journal: Path, note: Note) -> None:
    """Keep `note`; raises OSError if that cannot be done. A crash leaves the old or the new."""
    path = _path(journal, note.assignment)
    temporary = path.with_suffix(".new")
    journal.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary.write_text(json.dumps(note.to_data(), separators=(",", ":")))
    temporary.replace(path)


def remove_note(journal: Path, assignment: Assignment) -> None:
    """Drop the note of this attempt; a missing one is fine."""
    _path(journal, assignment).unlink(missing_ok=True)


def read_notes(journal: Path) -> list[Note]:
    """The notes of a former life, in any order; unreadable ones are named in the log and left where they are."""
    notes = []
    for path in sorted(journal.glob(f"*{_NOTE}")):
        try:
            notes.append(Note.from_data(json.loads(path.read_text())))
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.error("%s cannot be read and is left alone: %s: %s", path, type(error).__name__, error)
    return notes


def _path(journal: Path, assignment: Assignment) -> Path:
    return journal / f"{attempt_name(assignment)}{_NOTE}"
