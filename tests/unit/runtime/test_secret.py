"""The secret file: made once, kept private, and the one before stays valid for a week."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from copilot.errors import ConfigError
from copilot.runtime.secret import VALID_AFTER_ROTATION, load_secrets

FIRST, SECOND, THIRD = (letter * 64 for letter in "abc")


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_it_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "claim.secret"
    made = load_secrets(path, 1000.0)
    assert len(made) == 1
    assert len(made[0]) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_secrets(path, 2000.0) == made
    assert list(path.parent.iterdir()) == [path]


def test_instances_that_start_at_once_share_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        made = set(threads.map(lambda _: load_secrets(tmp_path / "secret", 0.0), range(64)))
    assert len(made) == 1


def test_the_newest_signs_and_the_others_stay_valid_for_a_week_after_they_were_replaced(
    tmp_path: Path,
) -> None:
    path = written(tmp_path / "s", f"0 {FIRST}\n1000 {SECOND}\n\n2000 {THIRD}\n")
    all_three = (bytes.fromhex(THIRD), bytes.fromhex(SECOND), bytes.fromhex(FIRST))
    assert load_secrets(path, 2000.0) == all_three
    assert load_secrets(path, 1001.0 + VALID_AFTER_ROTATION) == all_three[:2]
    assert load_secrets(path, 2001.0 + VALID_AFTER_ROTATION) == all_three[:1]


@pytest.mark.parametrize("text", ["", "hello", f"now {FIRST}", "0 abcd", "0"])
def test_a_file_that_makes_no_sense_is_named(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "secret", text)
    with pytest.raises(ConfigError, match=str(path)):
        load_secrets(path, 0.0)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "secret", f"0 {FIRST}\n")
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_secrets(path, 0.0)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be read or made"):
        load_secrets(tmp_path / "file" / "secret", 0.0)
