"""What every file client promises, over a shared directory, over HTTPS and over Chirp."""

from __future__ import annotations

import random
import resource
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from copilot.clock import SystemClock
from copilot.errors import NoSpace, TransferCorrupt, TransferRefused
from copilot.files.area import FileArea
from copilot.files.base import FileClient, FileFacts
from copilot.files.chirp.authentication import Credentials
from copilot.files.chirp.client import ChirpClient
from copilot.files.http import HttpClient
from copilot.files.local import LocalClient
from copilot.files.signing import UrlSigner
from copilot.local.chirp import Chirp
from copilot.local.process import give, unprivileged_user
from tests.unit.files.serving import SECRET, facts_of, make_file, names_below, serving

JOB = "job-1"
LARGE = 64 * 1024 * 1024  # signed maximum size
CONTENTS = [b"", b"x", random.Random(1).randbytes(5_000_000)]


@dataclass(frozen=True, kw_only=True)
class Side:
    """A client, the area at the other end, and URLs that lead there."""

    client: FileClient
    area: FileArea
    signer: UrlSigner
    here: Path  # the client's own directory
    own_server: bool = False  # another program, perhaps of another user, serves the area

    def input_url(self, name: str) -> str:
        return self._plain(self.signer.input_url(JOB, name, 60))

    def output_url(self, attempt: int = 1) -> str:
        self.area.prepare_output(JOB, attempt)
        self._hand_over()
        return self._plain(self.signer.output_url(JOB, attempt, 60, LARGE))

    def store(self, name: str, data: bytes) -> str:
        source = make_file(self.here.parent / "source", data)
        assert self.area.store_input(JOB, source, name) == facts_of(data)
        self._hand_over()
        return self.input_url(name)

    def _plain(self, url: str) -> str:
        return f"chirp{url.removeprefix('http').partition('?')[0]}" if self.own_server else url

    def _hand_over(self) -> None:
        if self.own_server:
            for path in (self.area.root, *self.area.root.rglob("*")):
                give(path, unprivileged_user())


@pytest.fixture(params=["file", "https", pytest.param("chirp", marks=pytest.mark.server("chirp"))])
async def side(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Side]:
    here = tmp_path / "here"
    here.mkdir()
    if request.param == "file":
        root = tmp_path / "area"
        root.mkdir()
        local = LocalClient((root,))
        signer = UrlSigner(root.as_uri(), SECRET, SystemClock())
        yield Side(client=local, area=FileArea(root), signer=signer, here=here)
        return
    if request.param == "chirp":
        server: Chirp = request.getfixturevalue("chirp_server")
        root = server.root / uuid.uuid4().hex
        root.mkdir()
        chirp = ChirpClient(credentials=Credentials(challenges=server.challenges))
        signer = UrlSigner(f"http://127.0.0.1:{server.port}/{root.name}", SECRET, SystemClock())
        yield Side(client=chirp, area=FileArea(root), signer=signer, here=here, own_server=True)
        await chirp.close()
        shutil.rmtree(root)
        return
    async with serving(tmp_path) as served:
        client = HttpClient(ca_file=served.ca_file, backoff=lambda failures: 0)
        yield Side(client=client, area=served.area, signer=served.signer, here=here)
        await client.close()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Make the kernel refuse to write files beyond `size` bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("data", CONTENTS, ids=["0 bytes", "1 byte", "5 MB"])
async def test_what_was_put_arrives_unchanged_and_what_is_got_too(side: Side, data: bytes) -> None:
    facts = facts_of(data)
    await side.client.put(make_file(side.here / "out.tgz", data), side.output_url(), facts=facts)
    assert side.area.output_path(JOB, 1).read_bytes() == data
    assert facts_of(side.area.output_path(JOB, 1).read_bytes()) == facts

    target = side.here / "in"
    assert (
        await side.client.get(side.store("in", data), target, size=facts.size, sha256=facts.sha256) == facts
    )
    assert target.read_bytes() == data
    assert names_below(side.here) == {"out.tgz", "in"}
    assert names_below(side.area.root) == {f"{JOB}.a0/in", f"{JOB}/{JOB}.tgz"}


@pytest.mark.parametrize("name", ["a b/c%2F#d?e&f=g+h", "ünï/コ~pilot", "deep/er/and/deeper", "-rf"])
async def test_names_need_no_plain_letters(side: Side, name: str) -> None:
    await side.client.get(side.store(name, b"data"), side.here / "in")
    assert (side.here / "in").read_bytes() == b"data"


async def test_without_expectations_whatever_is_there_is_fetched(side: Side) -> None:
    assert await side.client.get(side.store("in", b"data"), side.here / "in") == facts_of(b"data")


@pytest.mark.parametrize(
    "expected",
    [{"size": 3}, {"size": 5}, {"sha256": "0" * 64}, {"size": 4, "sha256": "f" * 64}],
    ids=["shorter announced", "longer announced", "other hash", "right size, other hash"],
)
async def test_other_contents_than_announced_leave_the_target_as_it_was(side: Side, expected: dict) -> None:  # type: ignore[type-arg]
    target = make_file(side.here / "in", b"before")
    with pytest.raises(TransferCorrupt):
        await side.client.get(side.store("in", b"data"), target, **expected)
    assert target.read_bytes() == b"before"
    assert names_below(side.here) == {"in"}


async def test_getting_replaces_what_was_there(side: Side) -> None:
    target = make_file(side.here / "in", b"before, and longer")
    await side.client.get(side.store("in", b"after"), target)
    assert target.read_bytes() == b"after"


async def test_a_missing_file_is_refused(side: Side) -> None:
    with pytest.raises(TransferRefused):
        await side.client.get(side.input_url("nothing"), side.here / "in")
    assert names_below(side.here) == set()


async def test_a_missing_source_is_refused(side: Side) -> None:
    with pytest.raises(TransferRefused):
        await side.client.put(side.here / "nothing", side.output_url(), facts=facts_of(b""))
    assert names_below(side.area.root) == set()


async def test_a_missing_target_directory_is_refused(side: Side) -> None:
    with pytest.raises(TransferRefused):
        await side.client.get(side.store("in", b"data"), side.here / "nowhere" / "in")


async def test_putting_twice_is_as_putting_once(side: Side) -> None:
    source = make_file(side.here / "out", b"data")
    for _ in range(2):
        await side.client.put(source, side.output_url(), facts=facts_of(b"data"))
    assert facts_of(side.area.output_path(JOB, 1).read_bytes()) == facts_of(b"data")
    assert names_below(side.area.root) == {f"{JOB}/{JOB}.tgz"}


@pytest.mark.parametrize("found", [b"", b"dat", b"data and more", b"DATA"])
async def test_a_source_that_changed_is_not_stored(side: Side, found: bytes) -> None:
    source = make_file(side.here / "out", b"data")
    url = side.output_url()
    await side.client.put(source, url, facts=facts_of(b"data"))
    source.write_bytes(found)
    with pytest.raises(TransferCorrupt):
        await side.client.put(source, url, facts=facts_of(b"data"))
    assert side.area.output_path(JOB, 1).read_bytes() == b"data"
    assert names_below(side.area.root) == {f"{JOB}/{JOB}.tgz"}


async def test_an_empty_file_announced_with_another_hash_is_not_stored(side: Side) -> None:
    with pytest.raises(TransferCorrupt):
        await side.client.put(
            make_file(side.here / "out", b""), side.output_url(), facts=FileFacts(size=0, sha256="0" * 64)
        )
    assert names_below(side.area.root) == set()


async def test_a_full_disk_on_either_side_is_no_space_and_leaves_nothing(side: Side) -> None:
    data = bytes(1_000_000)
    input_url, output_url = side.store("in", data), side.output_url()
    source = make_file(side.here / "out", data)
    with largest_file(300_000):
        with pytest.raises(NoSpace):
            await side.client.get(input_url, side.here / "in")
        if (
            not side.own_server
        ):  # ours is the only process with this limit; test_chirp.py fills that one's disk
            with pytest.raises(NoSpace):
                await side.client.put(source, output_url, facts=facts_of(data))
    assert names_below(side.here) == {"out"}
    assert names_below(side.area.root) == {f"{JOB}.a0/in"}


async def test_no_symlink_leads_out_of_the_area(side: Side, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    make_file(outside / "secret", b"secret")
    side.store("in", b"data")
    (side.area.root / f"{JOB}.a0" / "link").symlink_to(outside / "secret")
    (side.area.root / f"{JOB}.a0" / "directory").symlink_to(outside)
    (side.area.root / f"{JOB}.a2").symlink_to(outside)
    for name in ("link", "directory/secret"):
        with pytest.raises(TransferRefused):
            await side.client.get(side.input_url(name), side.here / "in")
    with pytest.raises(TransferRefused):
        await side.client.put(
            make_file(side.here / "out", b"data"),
            side.signer.output_url(JOB, 2, 60, LARGE),
            facts=facts_of(b"data"),
        )
    assert names_below(outside) == {"secret"}
    assert names_below(side.here) == {"out"}


async def test_closing_twice_is_fine(side: Side) -> None:
    await side.client.close()
    await side.client.close()
