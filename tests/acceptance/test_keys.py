"""`copilot keys` as an operator uses it: keys for a service, its public keys for others, new keys, the old ones dropped."""

from __future__ import annotations

import json
from pathlib import Path

from copilot.runtime.keys import load_keys, load_public_keys
from tests.acceptance.running import run
from tests.conversations.secure import read_public_keys


def test_a_service_gets_keys_tells_them_changes_them_and_drops_the_old_ones(tmp_path: Path) -> None:
    file, public = tmp_path / "jm.key", tmp_path / "PublicKeys.txt"
    made = run("copilot", "keys", "generate", "service", file)
    assert (made.returncode, made.stderr) == (0, "")
    assert file.stat().st_mode & 0o777 == 0o600
    public.write_text(
        run("copilot", "keys", "show", file, "--jid", "jm@x.org", "--jid", "jm@x.org/One").stdout
    )
    assert read_public_keys(public.read_text()).keys() == {"jm@x.org", "jm@x.org/One"}
    assert len(json.loads(run("copilot", "keys", "rotate", file, "--json").stdout)["keys"]) == 4
    asked = run("copilot", "keys", "drop", file, "--public-keys-file", public)
    assert asked.returncode == 1, "nobody is there to say yes"
    assert "locked out" in asked.stderr
    assert "use a key for jm@x.org that is to go" in asked.stderr
    assert run("copilot", "keys", "drop", file, "--yes").returncode == 0
    assert len(load_keys(file).all) == 2
    assert load_keys(file).public != load_public_keys(public)["jm@x.org"]
    again = run("copilot", "keys", "generate", "service", file)
    assert (again.returncode, again.stdout) == (2, "")
    assert "nothing was written" in again.stderr
    assert "PRIVATE" not in made.stdout + asked.stdout + asked.stderr
