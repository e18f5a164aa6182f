"""Settings that are read again while a daemon runs: all or nothing, and what came of it in words."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from copilot.agent.config import AgentConfig
from copilot.cli.reloading import Reloading
from copilot.config import load
from copilot.errors import ConfigError
from copilot.runtime.systemd import Supervisor

GOOD = {
    "AGENT_JABBER_ID": "agent",
    "AGENT_JABBER_PASSWORD": "hunter2",
    "AGENT_JABBER_DOMAIN": "example.org",
    "AGENT_JABBER_SERVER": "xmpp.example.org",
    "AGENT_WORK_DIR": "/nowhere",
    "JM_JABBER_ADDRESS": "jm@example.org",
}


def config(**said: str) -> AgentConfig:
    settings, _ = load(AgentConfig, None, {**GOOD, **said}, known=lambda: ())
    return settings


class World:
    """A daemon whose settings are `now`, and what it has taken over."""

    def __init__(self) -> None:
        self.now = config()
        self.seen: list[Any] = []
        self.reloading = Reloading(self.now, self._read)
        self.reloading.take("tags", by=lambda new: self.seen.append(new.tags))

    def _read(self) -> AgentConfig:
        return self.now


def test_what_can_be_taken_over_is_and_the_rest_is_named_without_its_value() -> None:
    world = World()
    world.now = config(AGENT_TAGS="ssd fast", AGENT_JABBER_PASSWORD="other", AGENT_SLOTS="3")
    assert world.reloading.reload() == (
        "The configuration was read again. Taken over: AGENT_TAGS. A restart is needed for: AGENT_JABBER_PASSWORD, AGENT_SLOTS."
    )
    assert world.seen == [("ssd", "fast")]
    # Once more: a restart is still needed.
    assert world.reloading.reload() == (
        "The configuration was read again. No setting was taken over. "
        "A restart is needed for: AGENT_JABBER_PASSWORD, AGENT_SLOTS."
    )


def test_nothing_is_taken_over_if_one_part_cannot_be() -> None:
    world = World()

    def prepare(new: AgentConfig) -> Callable[[], object]:
        raise ConfigError("AGENT_MAX_JOBS: no")

    world.reloading.on("max_jobs", prepare=prepare)
    world.now = config(AGENT_TAGS="ssd", AGENT_MAX_JOBS="7")
    with pytest.raises(ConfigError, match="AGENT_MAX_JOBS: no"):
        world.reloading.reload()
    assert world.seen == []


def test_files_that_settings_name_are_looked_at_though_the_settings_are_the_same() -> None:
    world = World()
    world.reloading.reload()
    assert world.seen == [None]


def test_a_file_that_cannot_be_read_changes_nothing_and_systemd_hears_of_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world, told = World(), []

    def broken() -> AgentConfig:
        raise ConfigError("copilot-agent.conf, line 3: expected a key and a value")

    class Told(Supervisor):
        def tell(self, *words: str) -> None:
            told.append(words)

    reloading, supervisor = Reloading(replace(world.now), broken), Told({})
    with caplog.at_level(logging.INFO, "copilot"):
        reloading.reload_and_log(supervisor)
        assert told == []  # it is not ready yet
        supervisor.said_ready = True
        caplog.clear()
        reloading.reload_and_log(supervisor)
    assert caplog.messages == [
        "The configuration was not taken over, nothing has changed: copilot-agent.conf, line 3: expected a key and a value"
    ]
    assert [words[0] for words in told] == ["RELOADING=1", "READY=1"]
    assert told[0][1].startswith("MONOTONIC_USEC=")


async def test_who_asks_by_a_command_is_told_and_learns_no_path() -> None:
    world = World()
    world.now = config(AGENT_TAGS="ssd")
    assert (await world.reloading.asked()).endswith("Taken over: AGENT_TAGS.")

    def broken() -> AgentConfig:
        raise ConfigError("/etc/copilot/copilot-agent.conf, line 3: …")

    said = await Reloading(world.now, broken).asked()
    assert "nothing has changed" in said
    assert "/etc" not in said


def test_a_setting_that_promises_to_be_taken_over_and_is_not_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="request_interval"):
        World().reloading.complete()
