"""Key files: made once, for their owner alone, changed in one step."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from copilot.errors import ConfigError
from copilot.protocol.crypto.keys import agent_keys, kid
from copilot.runtime.keys import change_key_file, load_keys, load_public_keys, new_key_file


def test_the_first_start_makes_it_and_all_others_get_the_same(tmp_path: Path) -> None:
    path = tmp_path / "made" / "service.key"
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda _: load_keys(path, agent_keys), range(8)))
    assert len({kid(keys.signing[0].public_key()) for keys in loaded}) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_it_is_not_made_where_nobody_asked_for_that(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_keys(tmp_path / "none")
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_public_keys(tmp_path / "none")


def test_one_that_others_can_read_or_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    new_key_file(path, agent_keys())
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_keys(path)
    path.write_bytes(b"-----BEGIN PRIVATE KEY-----\ns3cret\xff\n-----END PRIVATE KEY-----\n")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="key 1 cannot be read") as caught:
        load_keys(path)
    assert "s3cret" not in str(caught.value)
    path.write_text("a@b\n")
    with pytest.raises(ConfigError, match="no key follows"):
        load_public_keys(path)


def test_one_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    new_key_file(path, agent_keys())
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="is there already"):
        new_key_file(path, agent_keys())
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["keys"]


def test_no_change_is_lost_when_several_change_it_at_once(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    new_key_file(path, agent_keys())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: change_key_file(path, lambda keys: keys.with_new(agent_keys())), range(8)))
    assert len(load_keys(path).signing) == 9
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    new_key_file(path, agent_keys())
    with pytest.raises(ZeroDivisionError):
        change_key_file(path, lambda _: 1 // 0)  # type: ignore[return-value,arg-type]
    assert len(load_keys(path).signing) == 1
