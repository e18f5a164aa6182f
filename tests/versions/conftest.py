"""The release before this version, and directories for whole systems."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from copilot.errors import CopilotError
from tests.acceptance.conftest import ground, place, up
from tests.versions.previous import Release, previous

# Each pair of programs by itself: `make versions`.
collect_ignore = [] if os.environ.get("VERSIONS") else ["test_programs.py"]

__all__ = ["ground", "place", "up"]


@pytest.fixture(scope="module")
def old(ground: Path) -> Release:
    """The release before this version."""
    try:
        return previous(ground / "programs")
    except CopilotError as error:
        pytest.skip(str(error))  # also on CI, which may have a copy without history
