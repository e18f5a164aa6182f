"""The release before this version, and directories for whole systems."""

from __future__ import annotations

from pathlib import Path

import pytest

from copilot.errors import CopilotError
from tests.acceptance.conftest import ground, place, up
from tests.missing import missing
from tests.versions.previous import Release, previous

__all__ = ["ground", "place", "up"]


@pytest.fixture(scope="module")
def old(ground: Path) -> Release:
    """The release before this version."""
    try:
        return previous(ground / "programs")
    except CopilotError as error:
        missing(str(error))
