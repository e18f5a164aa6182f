"""Staging on a disk: copies, cancellation, access lists, and what root leaves behind."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from pathlib import Path

import pytest

from copilot.errors import BadName, TransferRefused
from copilot.files import staging as staging_module
from copilot.files.area import FileArea
from copilot.files.base import FileFacts
from copilot.files.many import write_all
from copilot.files.staging import ACCESS_LIST, DiskStaging
from tests.patience import PATIENCE_S
from tests.unit.files.serving import facts_of, make_file, names_below

AGENTS = ("hostname:*", "address:192.0.2.*")
NOBODY = 65534


@pytest.fixture
def area(tmp_path: Path) -> FileArea:
    (tmp_path / "area").mkdir()
    return FileArea(tmp_path / "area")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_file(tmp_path / "source", b"data")


async def test_a_file_lies_where_the_layout_has_it_until_it_is_dropped(area: FileArea, source: Path) -> None:
    staging = DiskStaging(area, AGENTS)
    for _ in range(2):
        assert await staging.store("j", "deep/in", source) == facts_of(b"data")
    assert names_below(area.root) == {"j.a0/deep/in"}
    for _ in range(2):
        await staging.drop("j")
    assert list(area.root.iterdir()) == []


async def test_beside_an_access_list_every_directory_gets_one_that_lets_agents_read(
    area: FileArea, source: Path
) -> None:
    (area.root / ACCESS_LIST).write_text("unix:jm rwlda\naddress:192.0.2.* rwl\nunix:bob  rl\n\n")
    await DiskStaging(area, AGENTS).store("j", "deep/in", source)
    for directory in ("j.a0", "j.a0/deep"):
        assert (area.root / directory / ACCESS_LIST).read_text().splitlines() == [
            "unix:jm rwlda",
            "unix:bob  rl",
            "hostname:* rl",
            "address:192.0.2.* rl",
        ]


async def test_no_input_takes_the_place_of_an_access_list(area: FileArea, source: Path) -> None:
    with pytest.raises(BadName, match="for Chirp servers"):
        await DiskStaging(area, AGENTS).store("j", f"deep/{ACCESS_LIST}", source)
    assert list(area.root.iterdir()) == []


class SlowArea(FileArea):
    """Stages when it may."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.begun, self.may = threading.Event(), threading.Event()

    def store_input(self, job: str, source: Path, name: str) -> FileFacts:
        self.begun.set()
        assert self.may.wait(PATIENCE_S)
        return super().store_input(job, source, name)


async def test_who_gives_up_in_the_middle_of_a_copy_can_drop_all_there_is(
    area: FileArea, source: Path
) -> None:
    slow = SlowArea(area.root)
    staging = DiskStaging(slow, AGENTS)
    storing = asyncio.create_task(staging.store("j", "d/in", source))
    await asyncio.to_thread(slow.begun.wait, 10)
    storing.cancel()
    await asyncio.sleep(0)  # the cancellation arrives while the thread is at work
    slow.may.set()
    with pytest.raises(asyncio.CancelledError):
        await storing
    await staging.drop("j")
    assert list(area.root.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
class TestAsRoot:
    async def test_what_root_stages_belongs_to_the_owner_of_the_area(
        self, area: FileArea, source: Path
    ) -> None:
        (area.root / ACCESS_LIST).write_text("unix:jm rwlda\n")
        for path in (area.root, area.root / ACCESS_LIST):
            os.chown(path, NOBODY, NOBODY)
        await DiskStaging(area, AGENTS).store("j", "a/b/t", source)
        assert {path.stat().st_uid for path in area.root.rglob("*")} == {NOBODY}

    def test_a_symlink_in_the_area_does_not_make_root_give_away_what_is_behind_it(
        self, area: FileArea, tmp_path: Path
    ) -> None:
        os.chown(area.root, NOBODY, NOBODY)
        (tmp_path / "etc").mkdir()
        secret = make_file(tmp_path / "etc" / "shadow", b"secret")
        (area.root / "j.a0").symlink_to(tmp_path / "etc")
        with pytest.raises(TransferRefused, match="link"):
            DiskStaging(area, AGENTS)._give_to_owner(["j.a0"], ["j.a0/shadow"])
        assert secret.stat().st_uid == 0


async def test_small_files_of_the_same_moment_are_stored_together(
    area: FileArea, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = []
    monkeypatch.setattr(
        staging_module,
        "write_all",
        lambda root, files, **how: (batches.append(len(files)), write_all(root, files, **how))[1],
    )
    for number in range(4):
        (tmp_path / str(number)).write_text(f"file {number}")
    (tmp_path / "3").unlink()
    staging = DiskStaging(area, ())
    stores = [staging.store(f"j{number}", "in", tmp_path / str(number)) for number in range(4)]
    *stored, missing = await asyncio.gather(*stores, return_exceptions=True)
    assert batches == [3]
    for number, facts in enumerate(stored):
        data = f"file {number}".encode()
        assert facts == FileFacts(size=len(data), sha256=hashlib.sha256(data).hexdigest())
        assert (area.root / f"j{number}.a0" / "in").read_bytes() == data
    assert isinstance(missing, TransferRefused)
    assert str(tmp_path / "3") in str(missing)
