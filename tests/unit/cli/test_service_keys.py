"""The public keys that a bundle carries: the manager's, and the monitor's if there is one; those that `copilot up` makes."""

from __future__ import annotations

import stat
from pathlib import Path

from copilot.cli.service_keys import service_keys_text, without_keys
from copilot.config import load
from copilot.jobmanager.config import ManagerConfig
from copilot.local.configuration import DOMAIN, MANAGER, MONITOR
from copilot.local.service_keys import PUBLIC_KEYS, make_keys
from copilot.protocol.crypto.keys import read_public
from copilot.runtime.keys import load_keys

JM, MON = f"{MANAGER}@{DOMAIN}", f"{MONITOR}@{DOMAIN}"


def manager_config(place: Path) -> ManagerConfig:
    values = {
        "JM_JABBER_SERVER": "localhost",
        "JM_JABBER_DOMAIN": DOMAIN,
        "JM_JABBER_ID": MANAGER,
        "JM_JABBER_PASSWORD": "x",
        "JM_REDIS_SERVER": "localhost",
        "JM_QUEUE_ONLY_MODE_ON": "1",
        "JM_STATE_DIR": str(place),
        "MON_JABBER_ADDRESS": MON,
    }
    return load(ManagerConfig, place, values)[0]


def test_copilot_up_makes_keys_that_bundles_carry_and_makes_them_once(tmp_path: Path) -> None:
    config = manager_config(tmp_path)
    alone = service_keys_text(config)
    assert set(read_public(alone)) == {JM}
    told = without_keys(config, alone)
    assert told is not None
    assert f"has no key of the monitor {MON}" in told

    make_keys(tmp_path, None)
    both = service_keys_text(config)
    assert without_keys(config, both) is None
    assert read_public(both) == read_public((tmp_path / PUBLIC_KEYS).read_text())
    assert read_public(both)[JM] == read_public(alone)[JM] == load_keys(tmp_path / f"{MANAGER}.key").public
    assert config.public_keys_file == tmp_path / PUBLIC_KEYS
    assert stat.S_IMODE((tmp_path / f"{MONITOR}.key").stat().st_mode) == 0o600

    make_keys(tmp_path, None)
    assert service_keys_text(config) == both
