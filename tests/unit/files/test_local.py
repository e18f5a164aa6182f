from __future__ import annotations

from pathlib import Path

import pytest

from copilot.errors import TransferRefused
from copilot.files.local import LocalClient
from tests.unit.files.serving import facts_of, make_file, names_below


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    make_file(tmp_path / "shared" / "in", b"data")
    make_file(tmp_path / "secret", b"secret")
    return tmp_path / "shared"


async def test_without_a_shared_directory_the_setting_is_named(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(TransferRefused, match="AGENT_SHARED_DIR"):
        await LocalClient(()).get((shared / "in").as_uri(), tmp_path / "got")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "file://{root}/../secret",
        "file://{root}/%2e%2e/secret",
        "file://{root}/x/../../secret",
        "file://{root}-2/in",
        "file://{root}//in",
        "file://{root}",
        "file://{root}/",
        "file://elsewhere{root}/in",
        "file:{root}/in?x=1",
        "file://{root}/in#x",
        "file://{root}/in%00",
        "file://{root}/%ff",
        "https://host{root}/in",
        "file:in",
    ],
)
async def test_only_what_lies_below_the_shared_directory_is_used(
    shared: Path, tmp_path: Path, url: str
) -> None:
    client = LocalClient((shared,))
    for attempt in (
        client.get(url.format(root=shared), tmp_path / "got"),
        client.put(tmp_path / "secret", url.format(root=shared), facts=facts_of(b"secret")),
    ):
        with pytest.raises(TransferRefused):
            await attempt
    assert names_below(tmp_path) == {"secret", "shared/in"}


@pytest.mark.parametrize("url", ["file://{root}/in", "file:{root}/in", "file://localhost{root}/in"])
async def test_all_forms_of_a_file_url_are_understood(shared: Path, tmp_path: Path, url: str) -> None:
    facts = await LocalClient((tmp_path / "other", shared)).get(url.format(root=shared), tmp_path / "got")
    assert facts == facts_of(b"data")


async def test_the_root_of_the_machine_may_be_shared(shared: Path, tmp_path: Path) -> None:
    await LocalClient((Path("/"),)).get((shared / "in").as_uri(), tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == b"data"


async def test_a_directory_is_not_made_by_putting(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(TransferRefused):
        await LocalClient((shared,)).put(
            tmp_path / "secret", (shared / "new" / "out").as_uri(), facts=facts_of(b"secret")
        )
    assert not (shared / "new").exists()
