"""Where the secrets of a job lie while it runs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from copilot.agent import vault as module
from copilot.agent.vault import Vault
from copilot.errors import BadName

SECRETS = {"token": b"canary", "key.pem": b"x\ny"}


@pytest.fixture(params=["memory", "disk"])
def vault(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    if request.param == "disk":
        monkeypatch.setattr(module, "SHARED_MEMORY", tmp_path / "nowhere")
    one = Vault(tmp_path)
    yield one
    one.clear()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_they_lie_as_files_that_their_user_alone_may_read(vault: Vault, tmp_path: Path) -> None:
    place = vault.lay("j.a1", SECRETS)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == SECRETS
    assert {mode(path) for path in place.iterdir()} == {0o400}
    assert (mode(place), mode(place.parent)) == (0o700, 0o700)
    assert place.is_relative_to(
        module.SHARED_MEMORY if os.access(module.SHARED_MEMORY, os.W_OK) else tmp_path
    )


def test_they_go_one_attempt_at_a_time_or_all_together(vault: Vault) -> None:
    one, two = vault.lay("j.a1", SECRETS), vault.lay("j.a2", SECRETS)
    vault.remove("j.a1")
    vault.remove("j.a1")
    assert (one.exists(), two.exists()) == (False, True)
    vault.clear()
    assert not two.parent.exists()


def test_what_a_former_life_has_left_goes_with_the_next(vault: Vault, tmp_path: Path) -> None:
    left = vault.lay("j.a1", SECRETS)
    Vault(tmp_path).clear()
    assert not left.exists()


def test_a_directory_of_somebody_else_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARED_MEMORY", tmp_path / "shm")
    monkeypatch.setattr(module, "_is_memory", lambda _: True)
    (tmp_path / "shm").mkdir()
    (tmp_path / "elsewhere").mkdir()
    one = Vault(tmp_path)
    one._in_memory.symlink_to(tmp_path / "elsewhere")
    assert one.lay("j.a1", SECRETS) == tmp_path / "secrets" / "j.a1"
    one._in_memory.unlink()
    one._in_memory.mkdir(mode=0o777)
    one._in_memory.chmod(0o777)
    assert one.lay("j.a2", SECRETS) == tmp_path / "secrets" / "j.a2"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_of_bad_names_nothing_stays(vault: Vault) -> None:
    with pytest.raises(BadName):
        vault.lay("j.a1", {"good": b"canary", "../bad": b"canary"})
    assert not list(vault._root().iterdir())
