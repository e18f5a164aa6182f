"""Secure mode as it is wired: whose keys count, when key files are made, and clear errors where there are none."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from copilot.agent.config import AgentConfig
from copilot.cli import service_keys as service_keys_module
from copilot.cli.securing import ServiceSecurity, agent_security
from copilot.config import load
from copilot.errors import ConfigError, SealError
from copilot.job import JobSecret
from copilot.jobmanager.config import ManagerConfig
from copilot.protocol.crypto.keys import public_text
from copilot.protocol.envelope import Element, Envelope
from copilot.protocol.session import ANY_KEY
from copilot.roles import Account, Standing
from copilot.runtime.keys import new_key_file
from tests.sealing import agent, public, service

JM = "jm@example.org"


def manager_config(place: Path, **more: str) -> ManagerConfig:
    values = {
        "JM_JABBER_SERVER": "localhost",
        "JM_JABBER_DOMAIN": "example.org",
        "JM_JABBER_ID": "jm",
        "JM_JABBER_PASSWORD": "x",
        "JM_REDIS_SERVER": "localhost",
        "JM_QUEUE_ONLY_MODE_ON": "1",
        "JM_STATE_DIR": str(place),
    }
    return load(ManagerConfig, place, {**values, **more})[0]


def agent_config(place: Path, **more: str) -> AgentConfig:
    values = {
        "AGENT_JABBER_SERVER": "localhost",
        "AGENT_JABBER_DOMAIN": "example.org",
        "AGENT_JABBER_ID": "agent",
        "AGENT_JABBER_PASSWORD": "x",
        "JM_JABBER_ADDRESS": JM,
        "AGENT_WORK_DIR": str(place),
    }
    return load(AgentConfig, place, {**values, **more})[0]


def test_a_service_in_secure_mode_makes_its_keys_at_the_first_start(tmp_path: Path) -> None:
    secure = ServiceSecurity(manager_config(tmp_path, JM_SECURE_MODE="1"))
    assert secure.security.strict
    assert stat.S_IMODE((tmp_path / "jm.key").stat().st_mode) == 0o600
    again = ServiceSecurity(manager_config(tmp_path, JM_SECURE_MODE="1"))
    assert secure.ring is not None
    assert again.ring is not None
    assert secure.ring.private.public.opening == again.ring.private.public.opening


def test_without_secure_mode_none_are_made_but_used_if_they_are_there(tmp_path: Path) -> None:
    config = manager_config(tmp_path)
    secure = ServiceSecurity(config)
    assert (secure.ring, secure.security.strict, (tmp_path / "jm.key").exists()) == (None, False, False)
    with pytest.raises(SealError):
        secure.open_secret(JobSecret(name="a", sealed="1:a:AA==:AA=="), "job")
    new_key_file(config.key_file, service())
    assert ServiceSecurity(config).ring is not None


def test_whose_keys_count(tmp_path: Path) -> None:
    new_key_file(tmp_path / "jm.key", service())
    (tmp_path / "services.pub").write_text(public_text({"mon@example.org": service(1).public}))
    records = {
        "a@x": Account(jid="a@x", standing=Standing.AGENT, key=public(agent())),
        "b@x": Account(jid="b@x", standing=Standing.BUNDLE),
        "c@x": Account(jid="c@x", standing=Standing.AGENT),
    }
    secure = ServiceSecurity(manager_config(tmp_path), records.get)
    assert secure.signers("a@x") == (public(agent()),)
    assert secure.signers("b@x") == ANY_KEY
    assert secure.signers("c@x") == ()
    assert secure.signers("mon@example.org") == (public(service(1)),)


@pytest.mark.parametrize("keys", [True, False])
def test_in_the_name_of_who_has_a_key_nothing_in_clear_is_heard_or_said(tmp_path: Path, keys: bool) -> None:
    """Whatever the mode: else the XMPP server could take the seal away."""
    records = {
        "a@x": Account(jid="a@x", standing=Standing.AGENT, key=public(agent())),
        "c@x": Account(jid="c@x", standing=Standing.AGENT),
    }
    if keys:
        new_key_file(tmp_path / "jm.key", service())
    security = ServiceSecurity(manager_config(tmp_path), records.get).security
    clear = Envelope(to=JM, sender="A@x/r", id="1", element=Element("info", {}), acks=("m",))
    assert not security.opened(replace(clear, sender="c@x/r"), 0.0).sealed
    for heard in (clear, replace(clear, element=None), replace(clear, element=None, body=clear.element)):
        with pytest.raises(SealError, match="in clear"):
            security.opened(heard, 0.0)
    assert security.sealed(replace(clear, to="c@x/r"), 0.0) == replace(clear, to="c@x/r")
    with pytest.raises(SealError, match="no session"):
        security.sealed(replace(clear, to="A@x/r"), 0.0)


def test_root_gives_the_service_its_key_file_and_nothing_that_a_link_leads_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, given = manager_config(tmp_path), []
    target = tmp_path / "of-root"
    target.touch()
    config.key_file.symlink_to(target)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("os.chown", lambda path, *_, follow_symlinks=True: given.append(follow_symlinks))
    service_keys_module._give_to_the_service(config)
    assert given == [False]


def test_a_key_file_of_an_agent_is_none_of_a_service(tmp_path: Path) -> None:
    new_key_file(tmp_path / "jm.key", agent())
    with pytest.raises(ConfigError, match="keys generate service"):
        ServiceSecurity(manager_config(tmp_path, JM_SECURE_MODE="1"))


def test_an_agent_without_keys_does_not_begin_to_speak_in_clear(tmp_path: Path) -> None:
    assert agent_security(agent_config(tmp_path), JM) is None
    config = agent_config(tmp_path, AGENT_SECURE_MODE="1")
    with pytest.raises(ConfigError, match="is not there: enrol"):
        agent_security(config, JM)
    new_key_file(config.key_file, agent())
    with pytest.raises(ConfigError, match=f"no key of {JM}"):
        agent_security(config, JM)
    config.public_keys_file.write_text(public_text({JM: service().public}))
    secure = agent_security(config, JM)
    assert secure is not None
    assert secure.security.strict


def test_an_agent_of_ours_does_not_speak_the_suite_of_2011(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected v2"):
        agent_security(agent_config(tmp_path, AGENT_SECURE_MODE="1", AGENT_SECURE_SUITES="v1"), JM)


def test_two_services_seal_with_the_keys_in_their_files_of_public_keys(tmp_path: Path) -> None:
    """As a manager reports to a monitor: neither has an account record of the other."""
    monitor, manager = "mon@example.org", "jm@example.org"
    secured = {}
    for jid, other in ((manager, monitor), (monitor, manager)):
        place = tmp_path / jid
        place.mkdir()
        keys = service(0 if jid == manager else 1)
        new_key_file(place / f"{jid.partition('@')[0]}.key", keys)
        known = {other: service(1 if jid == manager else 0).public}
        (place / "services.pub").write_text(public_text(known))
        config = manager_config(place, JM_SECURE_MODE="1", JM_JABBER_ID=jid.partition("@")[0])
        secured[jid] = ServiceSecurity(config).security
    report = Envelope(to=monitor, id="r", element=Element("info", {"command": "x"}), noack=True)
    sealed = secured[manager].sealed(report, 0.0)
    heard = secured[monitor].opened(replace(sealed, sender=f"{manager}/one"), 0.0)
    assert heard.envelope.noack
    assert heard.key == public(service(0))
    answer = secured[monitor].sealed(Envelope(to=f"{manager}/one", id="a", element=report.element), 0.0)
    assert secured[manager].opened(replace(answer, sender=f"{monitor}/m"), 0.0).sealed
