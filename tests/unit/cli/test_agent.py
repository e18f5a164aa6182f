"""What the command of an agent makes of its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from copilot.agent.config import AgentConfig
from copilot.cli.agent import _sandbox_context
from copilot.config import DIRECTORY_KEY, load


def test_payloads_see_no_file_that_holds_a_secret_of_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They run as the agent's user, and may read `/etc` and `/opt`, where such files are at home."""
    for name, text in (("password", "of the account\n"), ("Copilot.conf", ""), ("own.key", "")):
        (tmp_path / name).write_text(text)
    (tmp_path / "agent.conf").write_text(
        "AGENT_JABBER_SERVER here\nAGENT_JABBER_DOMAIN here\nAGENT_JABBER_ID a\nJM_JABBER_ADDRESS jm@here\n"
        f"AGENT_JABBER_PASSWORD_FILE {tmp_path}/password\nAGENT_KEY_FILE {tmp_path}/own.key\n"
        f"AGENT_WORK_DIR {tmp_path}/work\n"
    )
    config, _ = load(AgentConfig, tmp_path / "agent.conf", {})
    monkeypatch.setenv(DIRECTORY_KEY, str(tmp_path / "agent.conf"))
    hidden = _sandbox_context(config).hidden
    assert {tmp_path / name for name in ("password", "own.key", "agent.conf", "Copilot.conf")} <= {*hidden}
