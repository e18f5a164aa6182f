"""docs/configuration.md tells of every key exactly what the code does.

`python tests/unit/test_configuration_docs.py` writes its tables anew.
"""

import re
from pathlib import Path

import pytest

from copilot.agent.config import AgentConfig
from copilot.cli.components import COMPONENTS
from copilot.client.config import SubmitterConfig
from copilot.config import Settings
from copilot.heartbeat.config import HeartbeatConfig
from copilot.jobmanager.config import FileServerConfig, ManagerConfig, SubmitConfig
from copilot.keymanager.config import KeyManagerConfig
from copilot.monitor.config import MonitorConfig
from copilot.storagemanager.config import StorageManagerConfig

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
WITH_TABLE = (
    AgentConfig,
    ManagerConfig,
    MonitorConfig,
    HeartbeatConfig,
    SubmitterConfig,
    KeyManagerConfig,
)
DAEMONS = {
    AgentConfig,
    ManagerConfig,
    StorageManagerConfig,
    FileServerConfig,
    MonitorConfig,
    KeyManagerConfig,
}
WITH_LIST = (SubmitConfig, FileServerConfig)
EXPLAINED = {"JM_JABBER_ADDRESS", "JM_PUBLIC_KEYS_FILE"}  # below the list


def table(cls: type[Settings]) -> str:
    """One row a key."""
    prefix = cls.program.prefixes[0]
    rows = [
        f"| `{cls.key(item.field)}` | {item.doc} | {item.kind.expects} "
        f"| {item.absence.removeprefix('default: ').replace('*_', prefix + '_')} |"
        for item in cls.declared()
    ]
    return "\n".join(["| Key | What it is | Value | Without it |", "|---|---|---|---|", *rows])


def reloaded() -> str:
    """What a running daemon takes over, one row each."""
    rows = [
        f"| `copilot-{cls.program.name}` | "
        + ", ".join(f"`{cls.key(item.field)}`" for item in cls.declared() if item.reload)
        + " |"
        for cls in COMPONENTS
        if cls in DAEMONS
    ]
    return "\n".join(["| Program | Taken over |", "|---|---|", *rows])


def keys(cls: type[Settings]) -> str:
    """The keys alone, where another table explains them."""
    return ", ".join(f"`{cls.key(item.field)}`" for item in cls.declared())


def place(cls: type[Settings] | None, page: str) -> re.Match[str]:
    """The part of the page that the code decides; None: what is reloaded."""
    name = "reload" if cls is None else cls.program.name
    found = re.search(f"(?<=<!-- {name} -->\n\n).+?(?=\n\n<!-- end -->)", page, re.DOTALL)
    assert found, f"{PAGE}: no part for {name}"
    return found


def written(cls: type[Settings]) -> str:
    return place(cls, PAGE.read_text())[0]


@pytest.mark.parametrize("cls", WITH_TABLE)
def test_every_key_is_explained_as_the_code_has_it(cls: type[Settings]) -> None:
    assert written(cls) == table(cls)


@pytest.mark.parametrize("cls", WITH_LIST)
def test_the_keys_of_the_smaller_programs_are_listed(cls: type[Settings]) -> None:
    assert written(cls) == keys(cls)
    own = {cls.key(item.field) for item in cls.declared()} - {
        ManagerConfig.key(item.field) for item in ManagerConfig.declared()
    }
    assert own <= (EXPLAINED if cls is SubmitConfig else set())
    assert all(f"`{key}`" in PAGE.read_text().replace(written(cls), "") for key in own)


def test_what_a_running_daemon_takes_over_is_told() -> None:
    assert place(None, PAGE.read_text())[0] == reloaded()


def test_every_component_has_its_place_on_the_page() -> None:
    told = {*WITH_TABLE, *WITH_LIST, StorageManagerConfig}
    assert told == set(COMPONENTS)
    assert all(name in PAGE.read_text() for cls in COMPONENTS for name in cls.program.files)


def test_the_storage_manager_has_the_keys_of_the_job_manager() -> None:
    jm = {item.key for item in ManagerConfig.declared()}
    assert {item.key for item in StorageManagerConfig.declared()} == jm


if __name__ == "__main__":
    text = PAGE.read_text()
    for cls, part in [(cls, table(cls)) for cls in WITH_TABLE] + [(cls, keys(cls)) for cls in WITH_LIST]:
        start, end = place(cls, text).span()
        text = text[:start] + part + text[end:]
    start, end = place(None, text).span()
    text = text[:start] + reloaded() + text[end:]
    PAGE.write_text(text)
