"""`copilot-job-submit --remote`: jobs from a laptop that reaches neither Redis nor the file area."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from copilot.local.configuration import DOMAIN, MANAGER
from copilot.local.prosody import Prosody
from copilot.roles import Account, Standing
from tests.acceptance.running import Up, run, script

PASSWORD = "a password of the tests"
BIG = random.Random(3).randbytes(5_000_000)


class Laptop:
    """Somebody's machine: a configuration file is all that it has of the system."""

    def __init__(self, up: Up, name: str, standing: Standing, *projects: str) -> None:
        self.jid = f"{name}@{DOMAIN}"
        self.config = up.directory.parent / f"laptop-{name}"
        self.config.mkdir()
        asyncio.run(self._register(up, name, standing, projects))
        tls = up.directory / "prosody" / "tls"
        (self.config / "ca.pem").write_bytes((tls / "ca.pem").read_bytes())
        common = dict(
            line.split(" ", 1)
            for line in (up.etc / "Copilot.conf").read_text().splitlines()
            if line[:2] == "JM"
        )
        file = self.config / "copilot-submitter.conf"
        file.write_text(
            f"SUBMIT_JABBER_SERVER {common['JM_JABBER_SERVER']}\nSUBMIT_JABBER_PORT {common['JM_JABBER_PORT']}\n"
            f"SUBMIT_JABBER_DOMAIN {DOMAIN}\nSUBMIT_JABBER_ID {name}\nSUBMIT_JABBER_PASSWORD {PASSWORD}\n"
            f"SUBMIT_JABBER_CA_FILE {self.config / 'ca.pem'}\nJM_JABBER_ADDRESS {MANAGER}@{DOMAIN}\n"
        )
        file.chmod(0o600)

    async def _register(self, up: Up, name: str, standing: Standing, projects: tuple[str, ...]) -> None:
        await Prosody(up.directory / "prosody", domain=DOMAIN).register(name, PASSWORD)
        async with up.store() as store:
            await store.put_account(
                Account(jid=self.jid, standing=standing, projects=frozenset(projects)), password=PASSWORD
            )

    def options(self, command: Path, *options: object) -> tuple[object, ...]:
        return ("--remote", "--config", self.config, "--command", command, *options)

    def submit(self, command: Path, *options: object) -> subprocess.CompletedProcess[str]:
        return run("copilot-job-submit", *self.options(command, *options))


@pytest.fixture(scope="module")
def system(ground: Path) -> Iterator[Up]:
    up = Up(ground / "system")
    with up.running("--agents", 1):
        yield up


@pytest.fixture(scope="module")
def ada(system: Up) -> Laptop:
    return Laptop(system, "ada", Standing.SUBMITTER, "atlas")


@pytest.fixture(scope="module")
def bob(system: Up) -> Laptop:
    return Laptop(system, "bob", Standing.SUBMITTER)


def test_a_job_with_a_large_and_a_small_input_comes_back_with_its_output(
    system: Up, ada: Laptop, place: Path
) -> None:
    (place / "big.dat").write_bytes(BIG)
    (place / "small.txt").write_text("small\n")
    count = script(
        place / "count.sh", "wc -c < big.dat; cat data/small.txt; tac big.dat > turned.dat; exit 3"
    )
    inputs = ("-i", place / "big.dat", "-i", f"{place / 'small.txt'}=data/small.txt")
    ended = ada.submit(count, *inputs, "--id", "far-1", "--output-dir", place, "--unpack", "--json")
    assert ended.returncode == 3, ended.stderr
    told = json.loads(ended.stdout)
    assert (told["id"], told["state"], told["cause"], told["exit_code"]) == (
        "far-1",
        "failed",
        "user-exit",
        3,
    )
    assert told["output"] == str(place / "far-1")
    assert (place / "far-1" / "stdout").read_text() == f"{len(BIG)}\nsmall\n"
    record = system.record("far-1")
    assert (record.spec.owner, record.spec.project) == (ada.jid, "atlas")
