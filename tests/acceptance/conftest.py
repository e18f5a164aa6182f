"""Directories for whole systems, which the user as whom services run can reach."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from copilot.local.prosody import Prosody
from copilot.local.redis import Redis
from tests.acceptance.running import Up
from tests.conftest import DIRECTORY


@pytest.fixture(scope="module")
def ground(request: pytest.FixtureRequest, prosody: Prosody, redis_server: Redis) -> Iterator[Path]:
    """A directory for the systems of one module; the servers are asked for to skip where there are none."""
    path = Path(tempfile.mkdtemp(prefix="acceptance-", dir=request.config.stash[DIRECTORY]))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def place(ground: Path) -> Path:
    """A directory for the systems of one test."""
    path = Path(tempfile.mkdtemp(dir=ground))
    path.chmod(0o755)
    return path


@pytest.fixture
def up(place: Path) -> Up:
    """A system of the test's own, not started."""
    return Up(place / "system")
