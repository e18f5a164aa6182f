"""What the agent must not forget over its own death: one note per job, in the job's directory.

A note is written before the job is acknowledged. No fsync: a power cut of the agent's machine is covered by the
manager's time limits (protocol page, section 1, "Durable").
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from copilot.agent.effects import Note

log = logging.getLogger("copilot.agent")

NOTE = "journal.json"


def write_note(directory: Path, note: Note) -> None:
    """Keep `note` in a job's directory; raises OSError if that cannot be done. A crash leaves the old or the new."""
    temporary = directory / f"{NOTE}.new"
    temporary.write_text(json.dumps(note.to_data(), separators=(",", ":")))
    temporary.replace(directory / NOTE)


def read_notes(jobs: Path) -> list[Note]:
    """The notes of a former life, in any order; unreadable ones are named in the log and left where they are."""
    notes = []
    for path in sorted(jobs.glob(f"*/{NOTE}")):
        try:
            notes.append(Note.from_data(json.loads(path.read_text())))
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.error("%s cannot be read and is left alone: %s: %s", path, type(error).__name__, error)
    return notes
