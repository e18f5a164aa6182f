"""What is told about settings of suite v1 that cannot work, before anything is said to anybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from copilot.agent.config import AgentConfig
from copilot.cli import keymanager
from copilot.cli.securing import agent_security
from copilot.config import load
from copilot.errors import ConfigError
from copilot.protocol.crypto.keys import PublicKeys, public_text
from copilot.runtime.ticket import TicketKeeper
from tests.unit.protocol.crypto.vectors import key

JM, KM = "jm@example.org", "km@example.org"
AGENT = {
    "AGENT_JABBER_SERVER": "localhost",
    "AGENT_JABBER_DOMAIN": "example.org",
    "AGENT_JABBER_ID": "node",
    "AGENT_JABBER_PASSWORD": "x",
    "JM_JABBER_ADDRESS": JM,
    "AGENT_SECURE_MODE": "1",
    "AGENT_SECURE_SUITES": "v1",
}


def settings(tmp_path: Path, *known: str, **more: str) -> AgentConfig:
    public = tmp_path / "PublicKeys.txt"
    public.write_text(public_text({jid: PublicKeys((key("jm").public_key(),)) for jid in known}))
    where = {"AGENT_WORK_DIR": str(tmp_path), "AGENT_PUBLIC_KEYS_FILE": str(public)}
    return load(AgentConfig, tmp_path, AGENT | where | more)[0]


def test_an_agent_speaks_v1_with_or_without_a_key_manager(tmp_path: Path) -> None:
    without = agent_security(settings(tmp_path, JM), JM, credential="")
    assert without is not None
    assert without.keeper is None
    found = agent_security(settings(tmp_path, JM, KM, KM_JABBER_ADDRESS=KM), JM, credential="")
    assert found is not None
    assert isinstance(found.keeper, TicketKeeper)


def test_without_the_key_of_its_manager_or_key_manager_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"no key of {JM}"):
        agent_security(settings(tmp_path, KM), JM, credential="")
    with pytest.raises(ConfigError, match=f"no RSA key of {KM}"):
        agent_security(settings(tmp_path, JM, KM_JABBER_ADDRESS=KM), JM, credential="")


@pytest.mark.parametrize("suites", ["v1 v2", "v2 v1"])
def test_an_agent_speaks_one_suite(suites: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one of them alone"):
        agent_security(settings(tmp_path, JM, AGENT_SECURE_SUITES=suites), JM, credential="")


def test_who_submits_does_not_speak_v1(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected v2"):
        agent_security(settings(tmp_path, JM), JM)


def test_a_key_manager_does_not_start_in_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "copilot-keymanager.conf").write_text(
        "KM_JABBER_SERVER localhost\nKM_JABBER_DOMAIN example.org\nKM_JABBER_ID km\nKM_JABBER_PASSWORD x\n"
        f"KM_STATE_DIR {tmp_path}/state\n"
    )
    monkeypatch.setenv("COPILOT_CONFIG", str(tmp_path))
    assert keymanager.main([]) == 2
    assert "KM_SECURE_MODE: expected 1" in capsys.readouterr().err
