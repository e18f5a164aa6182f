"""The inputs that are kept: each reaches code that no other reaches, or was once the way to a bug."""

from __future__ import annotations

from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
TARGETS = tuple(sorted(path.stem for path in (Path(__file__).parent / "targets").glob("[a-z]*.py")))


def kept(name: str) -> list[Path]:
    """The inputs of a target."""
    return sorted((CORPUS / name).glob("*"))
