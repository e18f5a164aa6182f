"""All programs that have settings, and all keys that any of them knows. Light: every command reads it on its start."""

from __future__ import annotations

from copilot.agent.config import AgentConfig
from copilot.client.config import SubmitterConfig
from copilot.config import Settings
from copilot.errors import ConfigError
from copilot.heartbeat.config import HeartbeatConfig
from copilot.jobmanager.config import FileServerConfig, ManagerConfig, SubmitConfig
from copilot.keymanager.config import KeyManagerConfig
from copilot.monitor.config import MonitorConfig
from copilot.storagemanager.config import StorageManagerConfig

COMPONENTS: tuple[type[Settings], ...] = (
    AgentConfig,
    ManagerConfig,
    StorageManagerConfig,
    FileServerConfig,
    SubmitConfig,
    SubmitterConfig,
    MonitorConfig,
    HeartbeatConfig,
    KeyManagerConfig,
)

KNOWN_KEYS = frozenset(
    key for cls in COMPONENTS for item in cls.declared() for key in item.all_keys(cls.program)
) | {f"{prefix}*" for cls in COMPONENTS for prefixes in cls.prefixes().values() for prefix in prefixes}


def component(name: str) -> type[Settings]:
    """The settings of the program `copilot-<name>`. Raises `ConfigError` if there is none."""
    for cls in COMPONENTS:
        if cls.program.name == name.removeprefix("copilot-"):
            return cls
    names = ", ".join(cls.program.name for cls in COMPONENTS)
    raise ConfigError(f"component {name[:80]!r}: expected one of {names}")
