"""The same on ejabberd, where only joined agents take jobs; and a manager that may change no accounts."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from copilot.local.redis import Redis
from tests.acceptance.running import run, until
from tests.acceptance.test_enrolment import GONE, Joined
from tests.acceptance.test_secure import Site

ADMIN = f"boss-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"  # tests/conftest.py


async def site_of(
    place: Path, request: pytest.FixtureRequest, server: str, redis: Redis, manager: str
) -> Site:
    site = Site(place, request.getfixturevalue(server), redis)
    site.accounts["jm"] = manager or site.accounts["jm"]
    site.service_keys = place / "state" / f"{site.accounts['jm']}.key"
    await site.register()
    site.configure(JM_AGENTS="none")
    return site


async def test_an_agent_comes_in_works_and_is_thrown_out_on_ejabberd(
    place: Path, redis_server: Redis, redis_url: str, request: pytest.FixtureRequest
) -> None:
    assert redis_url
    site = await site_of(place, request, "ejabberd", redis_server, ADMIN)
    file = place / "bundle.conf"
    staying = ExitStack()
    request.addfinalizer(staying.close)
    with site.manager("one"):
        made = run("copilot", "bundle", "create", "--config", site.etc, "-o", file)
        assert made.returncode == 0, made.stderr
        agent = Joined(place / "machine", file)
        with agent.running() as process:
            site.does_a_job("joined")
            ended = run("copilot", "agents", "expire", agent.jid, "--after", "1s", "--config", site.etc)
            assert ended.stdout.startswith(f"agent {agent.jid}: ends 20"), ended.stderr
            until(lambda: process.poll() is not None, f"the end of the agent: {agent.said}")
            assert process.returncode == GONE
        other = Joined(place / "other", file)
        second = run("copilot", "bundle", "create", "--config", site.etc, "-o", place / "second.conf")
        assert second.returncode == 0, second.stderr
        other.bundle.write_text((place / "second.conf").read_text())
        process = staying.enter_context(other.running())
    # No manager is up now: the revocation counts, and the next one throws the agent out.
    done = run("copilot", "agents", "revoke", other.jid, "--config", site.etc)
    assert done.stdout == f"agent {other.jid}: revoked\n", done.stderr
    assert process.poll() is None
    with site.manager("two"):
        until(lambda: process.poll() is not None, f"the end of the agent: {other.said}")
        assert process.returncode == GONE


async def test_a_manager_that_is_no_admin_makes_no_bundle_and_says_what_to_do(
    place: Path, redis_server: Redis, redis_url: str, request: pytest.FixtureRequest
) -> None:
    assert redis_url
    site = await site_of(place, request, "prosody", redis_server, "")
    file = place / "bundle.conf"
    with site.manager("one"):
        made = run("copilot", "bundle", "create", "--config", site.etc, "-o", file)
        assert made.returncode == 75
        assert f'admins = {{ "{site.jid("jm")}" }} and the module "admin_adhoc"' in made.stderr
        assert "Traceback" not in made.stderr
    assert not file.exists()
    (bundle,) = json.loads(run("copilot", "bundle", "list", "--config", site.etc, "--json").stdout)
    assert bundle["state"] == "revoked"
    without = run("copilot", "bundle", "create", "--config", site.etc, "-o", file, "--wait", "0.2")
    assert without.returncode == 75
    assert "no job manager has made its account within 0.2 s" in without.stderr
