from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from copilot.errors import TransferCorrupt
from copilot.files.base import BATCH
from copilot.files.upload import Upload
from tests.patience import PATIENCE_S
from tests.unit.files.serving import facts_of, make_file


async def test_the_blocks_are_the_file_and_each_is_told(tmp_path: Path) -> None:
    data = bytes(2 * BATCH) + b"end"
    told: list[bool] = []
    with Upload(make_file(tmp_path / "out", data), facts_of(data)) as upload:
        assert b"".join([block async for block in upload.blocks(lambda: told.append(True))]) == data
    assert len(told) == 3
    assert not upload.changed


async def test_who_stops_after_one_block_leaves_nothing_behind(tmp_path: Path) -> None:
    data = bytes(3 * BATCH)
    path = make_file(tmp_path / "out", data)
    with Upload(path, facts_of(data)) as upload:
        blocks = upload.blocks(lambda: None)
        assert await anext(blocks) == bytes(BATCH)
        path.write_bytes(b"short")  # what is read ahead may fail
    await blocks.aclose()
    async with asyncio.timeout(PATIENCE_S):
        while asyncio.all_tasks() != {asyncio.current_task()}:
            await asyncio.sleep(0)


@pytest.mark.parametrize("meanwhile", [b"x" * 2 * BATCH, b"short"], ids=["other contents", "cut off"])
async def test_the_last_block_of_a_changed_file_is_kept_back(tmp_path: Path, meanwhile: bytes) -> None:
    data = bytes(2 * BATCH)
    path = make_file(tmp_path / "out", data)
    given: list[int] = []
    with Upload(path, facts_of(data)) as upload:
        path.write_bytes(meanwhile)

        async def send_all() -> None:
            async for block in upload.blocks(lambda: None):
                given.append(len(block))  # noqa: PERF401 - holds what came before the error

        with pytest.raises(TransferCorrupt, match="changed since"):
            await send_all()
    assert sum(given) < len(data)
    assert upload.changed


async def test_what_is_written_behind_the_announced_end_is_not_sent(tmp_path: Path) -> None:
    path = make_file(tmp_path / "out", b"data")
    with Upload(path, facts_of(b"data")) as upload:
        path.write_bytes(b"data and more")
        assert [block async for block in upload.blocks(lambda: None)] == [b"data"]
