import os
from pathlib import Path

import pytest

from copilot.errors import ConfigError
from copilot.local.lock import alone_in


def test_a_second_owner_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    with (
        alone_in(tmp_path),
        pytest.raises(ConfigError, match=rf"runs there already \(process {os.getpid()}\)"),
        alone_in(tmp_path),
    ):
        pass


def test_the_lock_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with alone_in(tmp_path):
            assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
