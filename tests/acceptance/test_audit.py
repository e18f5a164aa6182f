"""`copilot audit`, after people have done something by the real commands."""

from __future__ import annotations

import getpass
import json
import socket
from pathlib import Path

from tests.acceptance.running import Up, run, script


def audit(system: Up, *words: object) -> list[dict[str, object]]:
    found = run("copilot", "audit", *words, "--json", "--config", system.etc)
    assert found.returncode == 0, found.stderr
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_what_people_do_is_on_the_trail_and_can_be_exported_and_cut(up: Up, place: Path) -> None:
    place.chmod(0o755)
    with up.running():
        check(up, place)


def check(up: Up, place: Path) -> None:
    etc = ("--config", up.etc)
    job = script(place / "job.sh", "true")
    done = run("copilot", "submit", "--id", "kept", "--requirements", "Slots == 90", *etc, "--", job)
    assert done.returncode == 0, done.stderr
    for verb in ("hold", "cancel"):
        assert run("copilot", "jobs", verb, "kept", "--reason", "Ann looks", *etc).returncode == 0
    assert run("copilot", "agents", "drain", "nobody@localhost", *etc).returncode == 0
    assert run("copilot", "pause", *etc, "--reason", "moving").returncode == 0
    told = [one for one in audit(up) if one["via"] == "cli"]
    assert [(one["verb"], one["target"], one["result"]) for one in told if one["verb"] != "pause"] == [
        ("submit", "kept", "changed"),
        ("hold", "kept", "changed held"),
        ("cancel", "kept", "changed cancelled"),
        ("drain", "nobody@localhost", "changed"),
    ]
    mine = told[-1]
    assert (mine["who"], mine["via"], mine["place"]) == (getpass.getuser(), "cli", socket.gethostname())
    assert [one["verb"] for one in audit(up, "--of", "kept", "--verb", "hold", "--since", "1h")] == ["hold"]
    assert audit(up, "--who", "nobody") == []
    text = run("copilot", "audit", *etc).stdout
    assert "Ann looks" in text

    nobody = run("copilot", "users", "password", "nobody", *etc)
    assert (nobody.returncode, "is no user" in nobody.stderr) == (2, True)

    file = place / "trail.jsonl"
    first = audit(up)
    file.write_text(json.dumps(first[0]) + "\n")
    cut = run("copilot", "audit", "cut", file, "--yes", *etc)
    assert cut.returncode == 0, cut.stderr
    rest = audit(up)
    assert [one["id"] for one in rest[:-1]] == [one["id"] for one in first[1:]]
    assert (rest[-1]["verb"], rest[-1]["who"], rest[-1]["reason"]) == (
        "cut-audit",
        getpass.getuser(),
        "in trail.jsonl",
    )
    file.write_text(json.dumps(rest[-1]) + "\n")
    cut = run("copilot", "audit", "cut", file, "--yes", *etc)
    assert cut.returncode == 2
    assert "is on the trail before its end and not in it" in cut.stderr
    exported = run("copilot", "audit", "export", "--before", "2020-01-01", place / "old.jsonl", *etc)
    assert exported.returncode == 0, exported.stderr
    assert (place / "old.jsonl").read_text() == ""
