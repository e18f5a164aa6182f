"""Chirp as an fsspec filesystem, on a real chirp_server."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from copilot.files.chirp.authentication import Credentials
from copilot.local.chirp import Chirp

pytestmark = pytest.mark.server("chirp")
fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def filesystem(chirp_server: Chirp) -> Iterator[Any]:
    from copilot.files.remote import ChirpFileSystem

    credentials = Credentials(methods=("unix",), challenges=chirp_server.challenges)
    filesystem = ChirpFileSystem(
        "127.0.0.1", chirp_server.port, credentials=credentials, skip_instance_cache=True
    )
    yield filesystem
    filesystem.close()


@pytest.fixture
def place(filesystem: Any) -> str:
    path = f"/{uuid.uuid4().hex}"
    filesystem.mkdir(path)
    return path


def test_what_is_written_can_be_read_in_parts(filesystem: Any, place: str) -> None:
    with filesystem.open(f"{place}/a b%", "wb") as file:
        file.write(b"hello ")
        file.write(b"world")
    with filesystem.open(f"{place}/a b%") as file:
        assert file.read(5) == b"hello"
        file.seek(-5, 2)
        assert file.read() == b"world"
    assert filesystem.cat(f"{place}/a b%") == b"hello world"
    assert filesystem.cat_file(f"{place}/a b%", 2, -2) == b"llo wor"
    assert filesystem.size(f"{place}/a b%") == 11


def test_directories_are_walked_made_and_removed(filesystem: Any, place: str) -> None:
    filesystem.makedirs(f"{place}/one/two")
    filesystem.makedirs(f"{place}/one/two", exist_ok=True)
    filesystem.pipe(f"{place}/one/two/f", b"data")
    assert filesystem.find(place) == [f"{place}/one/two/f"]
    assert filesystem.isdir(f"{place}/one")
    assert filesystem.isfile(f"{place}/one/two/f")
    filesystem.mv(f"{place}/one/two/f", f"{place}/g")
    filesystem.cp_file(f"{place}/g", f"{place}/h")
    assert filesystem.ls(place, detail=False) == [f"{place}/g", f"{place}/h", f"{place}/one"]
    filesystem.rm(place, recursive=True)
    assert not filesystem.exists(place)


def test_files_go_both_ways(filesystem: Any, place: str, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(b"data")
    filesystem.put(str(tmp_path / "here"), f"{place}/there")
    filesystem.get(f"{place}/there", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == b"data"


def test_errors_are_those_that_python_has(filesystem: Any, place: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        filesystem.cat(f"{place}/nothing")
    with pytest.raises(FileExistsError):
        filesystem.mkdir(place)
    with pytest.raises(IsADirectoryError):
        filesystem.get_file(place, str(tmp_path / "nowhere"))
    assert not filesystem.exists(f"{place}/nothing")


def test_urls_find_this_filesystem(filesystem: Any, place: str, chirp_server: Chirp) -> None:
    filesystem.pipe(f"{place}/f", b"data")
    credentials = Credentials(methods=("unix",), challenges=chirp_server.challenges)
    with fsspec.open(f"{chirp_server.url}{place}/f", credentials=credentials) as file:
        assert file.read() == b"data"
        file.fs.close()


def test_no_component_imports_it() -> None:
    program = "import sys, copilot.files.clients, copilot.files.chirp.client; print('fsspec' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("False\n", "")
