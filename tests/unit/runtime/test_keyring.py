"""Keys in files: read again when they change, kept when they cannot be read, learned by agents in one step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from copilot.errors import ConfigError
from copilot.protocol.crypto.keys import PrivateKeys, PublicKeys, kid, private_text, public_text
from copilot.runtime.keyring import LEARNED, LOOK_AGAIN, FileRing
from copilot.runtime.keys import change_key_file, new_key_file
from tests.hand_clock import HandClock
from tests.sealing import agent, public, service


@pytest.fixture
def clock() -> HandClock:
    return HandClock(0.0)


def ring_of(place: Path, clock: HandClock, keys: PrivateKeys, *, learns: bool = False) -> FileRing:
    file = place / "own.key"
    if not file.exists():
        new_key_file(file, keys)
    learned = place / LEARNED if learns else None
    return FileRing(file, place / "services.pub", now=clock.monotonic, learned=learned)


def write(path: Path, known: dict[str, PublicKeys], seconds: float) -> None:
    path.write_text(public_text(known))
    os.utime(path, (seconds, seconds))


def test_a_key_that_is_not_known_is_looked_for_in_the_file(tmp_path: Path, clock: HandClock) -> None:
    ring = ring_of(tmp_path, clock, service())
    new = kid(service(1).public.opening[0])
    assert ring.opening(kid(service().public.opening[0])) is not None
    change_key_file(tmp_path / "own.key", lambda keys: keys.with_new(service(1)))
    assert ring.opening(new) is None  # it has just looked
    clock.advance(LOOK_AGAIN)
    assert ring.opening(new) is not None
    assert ring.private.opening[0].private_numbers() == service(1).opening[0].private_numbers()


def test_keys_that_are_dropped_open_nothing_more(tmp_path: Path, clock: HandClock) -> None:
    ring = ring_of(tmp_path, clock, service().with_new(service(1)))
    change_key_file(tmp_path / "own.key", lambda _: service())
    clock.advance(LOOK_AGAIN)
    ring.refresh()
    assert ring.opening(kid(service(1).public.opening[0])) is None


def test_a_file_that_cannot_be_read_any_more_changes_nothing(
    tmp_path: Path, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    ring = ring_of(tmp_path, clock, service())
    (tmp_path / "own.key").write_text("rubbish that is no key")
    clock.advance(LOOK_AGAIN)
    ring.refresh()
    assert ring.opening(kid(service().public.opening[0])) is not None
    assert "what was read before still counts" in caplog.text
    assert "rubbish" not in caplog.text


def test_the_file_of_public_keys_may_come_later(tmp_path: Path, clock: HandClock) -> None:
    ring = ring_of(tmp_path, clock, agent())
    assert (ring.pinned("jm@x"), ring.signers("jm@x")) == ((), ())
    write(tmp_path / "services.pub", {"JM@x": service().public}, 1000.0)
    clock.advance(LOOK_AGAIN)
    ring.refresh()
    (pinned,) = ring.pinned("jm@x")
    assert pinned.kid == kid(service().public.opening[0])
    assert ring.signers("jm@x") == (public(service()),)


def test_what_was_learned_counts_until_somebody_writes_the_file_anew(
    tmp_path: Path, clock: HandClock
) -> None:
    write(tmp_path / "services.pub", {"jm@x": service().public, "mon@x": service(1).public}, 1000.0)
    ring = ring_of(tmp_path, clock, agent(), learns=True)
    ring.learn("jm@x", service(2).public)
    assert ring.signers("jm@x") == (public(service(2)),)
    assert ring.signers("mon@x") == (public(service(1)),)
    assert (tmp_path / LEARNED).stat().st_mode & 0o777 == 0o600
    again = ring_of(tmp_path, clock, agent(), learns=True)
    assert again.signers("jm@x") == (public(service(2)),)
    write(tmp_path / "services.pub", {"jm@x": service(1).public}, 4e9)
    clock.advance(LOOK_AGAIN)
    again.refresh()
    assert again.signers("jm@x") == (public(service(1)),)


def test_what_cannot_be_kept_is_not_learned(tmp_path: Path, clock: HandClock) -> None:
    ring = ring_of(tmp_path, clock, agent(), learns=True)
    (tmp_path / LEARNED).mkdir()
    with pytest.raises((OSError, ConfigError), match="directory"):
        ring.learn("jm@x", service().public)
    assert ring.pinned("jm@x") == ()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, clock: HandClock) -> None:
    file = tmp_path / "own.key"
    file.write_text(private_text(agent()))
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        FileRing(file, tmp_path / "none", now=clock.monotonic)
