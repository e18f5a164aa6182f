"""The attempt's directory. Attempts that run are in tests/integration/test_sandbox.py."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from copilot.agent.sandbox import Sandbox
from copilot.errors import BadName


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    sandbox = Sandbox(tmp_path, "job", 2)
    sandbox.prepare()
    return sandbox


@pytest.mark.parametrize("job", ["../x", "a/b", "", ".hidden", "a\n"])
def test_an_id_that_is_no_directory_name_is_refused(tmp_path: Path, job: str) -> None:
    with pytest.raises(BadName):
        Sandbox(tmp_path, job, 1)


def test_the_directory_is_closed_to_others(sandbox: Sandbox, tmp_path: Path) -> None:
    assert sandbox.directory == tmp_path / "jobs" / "job.a2"
    assert sandbox.directory.stat().st_mode & 0o777 == 0o700
    assert list(sandbox.payload.iterdir()) == []


def test_preparing_again_clears_what_the_same_attempt_left_and_nothing_else(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    (sandbox.payload / "old").write_text("old")
    other = Sandbox(tmp_path, "job", 3)
    other.prepare()
    (other.payload / "kept").write_text("kept")
    sandbox.prepare()
    assert list(sandbox.payload.iterdir()) == []
    assert (other.payload / "kept").exists()


def test_inputs_get_their_directories(sandbox: Sandbox) -> None:
    path = sandbox.input_path("data/run 1/table")
    path.write_text("x")
    assert path == sandbox.payload / "data/run 1/table"


@pytest.mark.parametrize("name", ["../stdout", "/etc/passwd", "a/../../b", ".", "", "a\\b", "a\nb"])
def test_inputs_cannot_leave_the_payloads_directory(sandbox: Sandbox, name: str) -> None:
    with pytest.raises(BadName, match="relative name"):
        sandbox.input_path(name)


def test_inputs_cannot_go_through_a_symlink_another_input_or_onto_a_directory(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    (sandbox.payload / "link").symlink_to(tmp_path)
    sandbox.input_path("file").write_text("x")
    sandbox.input_path("directory/file")
    for name in ("link/file", "file/below", "file/far/below", "directory"):
        with pytest.raises(BadName, match="rename"):
            sandbox.input_path(name)


def test_the_end_of_stderr_is_shown_whatever_it_is(sandbox: Sandbox) -> None:
    assert sandbox._end_of_stderr() == ""
    sandbox.stderr.write_bytes(b"x" * 5000 + b" \xff end")
    assert sandbox._end_of_stderr().endswith("xx \\xff end")
    assert len(sandbox._end_of_stderr()) < 4200
    sandbox.stderr.unlink()
    sandbox.stderr.symlink_to("/etc/passwd")
    assert sandbox._end_of_stderr() == ""


def test_free_bytes_are_those_of_the_disk_and_none_without_a_directory(sandbox: Sandbox) -> None:
    assert sandbox.free_bytes() > 0
    sandbox.remove()
    sandbox.remove()
    assert sandbox.free_bytes() == 0
    assert not sandbox.directory.exists()


async def test_an_attempt_that_never_ran_can_be_packed(sandbox: Sandbox) -> None:
    package = await sandbox.pack(10_000)
    assert await sandbox.pack(10_000) == package
    with tarfile.open(fileobj=io.BytesIO(package.data or b"")) as archive:
        assert archive.getnames() == []
