"""`copilot audit`, after people have done something by the real commands."""

from __future__ import annotations

import asyncio
import getpass
import json
import socket
from pathlib import Path

from copilot.store.redis import RedisStore
from tests.acceptance.running import Up, run, script


def audit(system: Up, *words: object) -> list[dict[str, object]]:
    found = run("copilot", "audit", *words, "--json", "--config", system.etc)
    assert found.returncode == 0, found.stderr
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_what_people_do_is_on_the_trail_and_can_be_exported_and_cut(up: Up, place: Path) -> None:
    place.chmod(0o755)
    with up.running():
        asyncio.run(old_entries(up))
        check_export(up, place)
        check(up, place)


async def old_entries(up: Up) -> None:
    """Some of years ago, as if the system had run then."""
    async with up.store() as store:
        assert isinstance(store, RedisStore)
        for number in range(3):
            said = {
                "time": "1577000000",
                "who": "olle",
                "via": "cli",
                "verb": "hold",
                "target": f"old-{number}",
            }
            words = [word for pair in said.items() for word in pair]
            await store.raw("XADD", "copilot:audit", f"157700000000{number}-0", *words)


def check_export(up: Up, place: Path) -> None:
    etc, file = ("--config", up.etc), place / "trail-2019.jsonl"
    exported = run("copilot", "audit", "export", "--before", "2020-01-01", file, *etc)
    assert (exported.returncode, exported.stdout[:22]) == (0, "3 entries before 2020-"), exported.stderr
    assert [json.loads(line)["target"] for line in file.read_text().splitlines()] == [
        "old-0",
        "old-1",
        "old-2",
    ]
    assert file.stat().st_mode & 0o777 == 0o600
    cut = run("copilot", "audit", "cut", file, "--yes", "--reason", "in the archive", *etc)
    assert (cut.returncode, cut.stdout[:24]) == (0, "3 entries were taken off"), cut.stderr


def check(up: Up, place: Path) -> None:
    etc = ("--config", up.etc)
    job = script(place / "job.sh", "true")
    done = run("copilot", "submit", "--id", "kept", "--requirements", "Slots == 90", *etc, "--", job)
    assert done.returncode == 0, done.stderr
    for verb in ("hold", "cancel"):
        assert run("copilot", "jobs", verb, "kept", "--reason", "Ann looks", *etc).returncode == 0
    drained = run("copilot", "agents", "drain", "nobody@localhost", *etc)
    assert drained.returncode == 0
    assert "agent nobody@localhost: nothing is known of it, look for a typing error" in drained.stderr
    assert run("copilot", "pause", *etc, "--reason", "moving").returncode == 0
    (paused,) = json.loads(run("copilot", "jobs", "list", *etc, "--json").stdout)["paused"]
    assert (paused["gate"], paused["reason"]) == ("dispatch", "moving")
    was_cut, *told = [one for one in audit(up) if one["via"] == "cli"]
    assert (was_cut["verb"], was_cut["reason"]) == ("cut-audit", "in trail-2019.jsonl: in the archive")
    assert [(one["verb"], one["target"], one["result"]) for one in told if one["verb"] != "pause"] == [
        ("submit", "kept", "changed"),
        ("hold", "kept", "changed held"),
        ("cancel", "kept", "changed cancelled"),
        ("drain", "nobody@localhost", "changed"),
    ]
    mine = told[-1]
    assert (mine["who"], mine["via"], mine["place"]) == (getpass.getuser(), "cli", socket.gethostname())
    assert [one["verb"] for one in audit(up, "--of", "kept", "--verb", "hold", "--since", "1h")] == ["hold"]
    text = run("copilot", "audit", *etc).stdout
    assert "Ann looks" in text

    nobody = run("copilot", "users", "password", "nobody", *etc)
    assert (nobody.returncode, "is no user" in nobody.stderr) == (2, True)

    file = place / "trail.jsonl"
    file.write_text(json.dumps(mine) + "\n")
    cut = run("copilot", "audit", "cut", file, "--yes", *etc)
    assert cut.returncode == 2
    assert "is on the trail before its end and not in it" in cut.stderr
