"""Sources and finishers are found by the names of their entry points, and get their own settings."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from copilot.cli.components import KNOWN_KEYS
from copilot.config import load
from copilot.errors import ConfigError
from copilot.grid.directory import JobDirectory
from copilot.grid.done import DoneDirectory
from copilot.grid.lists import OldJobs
from copilot.grid.plugins import make_finisher, make_sources
from copilot.jobmanager.config import ManagerConfig
from copilot.store.memory import MemoryStore
from copilot.store.redis import RedisStore

REQUIRED = """\
JM_JABBER_SERVER xmpp.example.org
JM_JABBER_DOMAIN example.org
JM_JABBER_ID jm
JM_JABBER_PASSWORD secret
JM_REDIS_SERVER redis.example.org
JM_CHIRP_SERVER chirp.example.org
"""
CODE = """\
class Plugin:
    def __init__(self, context):
        self.context = context

def make(context):
    if "FAIL" in context.settings:
        raise RuntimeError("no such grid")
    return Plugin(context)
"""


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., ManagerConfig]:
    """The manager's settings, with some of a test's own; all that the file holds is known."""

    def read(**keys: str) -> ManagerConfig:
        own = {"JM_STATE_DIR": f"{tmp_path}/state", "JM_DONE_JOB_DIR": f"{tmp_path}/done"} | keys
        text = REQUIRED + "".join(f"{key} {value}\n" for key, value in own.items())
        file = tmp_path / "copilot-jobmanager-generic.conf"
        file.touch(mode=0o600)
        file.write_text(text)
        config, warnings = load(ManagerConfig, tmp_path, {}, known=lambda: KNOWN_KEYS)
        assert warnings == ()
        return config

    return read


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of somebody else."""
    site = tmp_path / "site"
    facts = site / "my_grid-1.dist-info"
    facts.mkdir(parents=True)
    (site / "my_grid.py").write_text(CODE)
    (site / "my_broken_grid.py").write_text("import a_module_that_is_not_there\n")
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: my-grid\nVersion: 1\n")
    (facts / "entry_points.txt").write_text(
        "[copilot.sources]\nmy-grid = my_grid:make\nbroken = my_broken_grid:make\nnothing = my_grid:nothing\n"
        "[copilot.finishers]\nmy-grid = my_grid:make\n"
    )
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    for name in ("my_grid", "my_broken_grid"):
        monkeypatch.delitem(sys.modules, name, raising=False)


async def test_the_generic_ones_come_first(configured: Callable[..., ManagerConfig], tmp_path: Path) -> None:
    config = configured()
    store = RedisStore.from_url("redis://127.0.0.1:1/0")
    sources = make_sources(config, store)
    assert list(sources) == ["generic"]
    assert isinstance(sources["generic"], OldJobs)
    assert isinstance(make_finisher(config, store), DoneDirectory)
    assert (tmp_path / "done").is_dir()
    await store.close()


def test_the_generic_source_needs_redis(configured: Callable[..., ManagerConfig]) -> None:
    with pytest.raises(ConfigError, match="needs a queue in Redis"):
        make_sources(configured(), MemoryStore())


def test_a_directory_is_a_source_with_a_setting_of_its_own(
    configured: Callable[..., ManagerConfig], tmp_path: Path
) -> None:
    config = configured(JM_JOB_SOURCES="directory", SOURCE_DIRECTORY_PATH=str(tmp_path))
    assert isinstance(make_sources(config, MemoryStore())["directory"], JobDirectory)


@pytest.mark.usefixtures("installed")
def test_a_plug_in_gets_its_own_settings_and_directory_and_nobody_elses(
    configured: Callable[..., ManagerConfig], tmp_path: Path
) -> None:
    config = configured(
        JM_JOB_SOURCES="my-grid",
        JM_FINISHER="my-grid",
        SOURCE_MY_GRID_URL="https://grid.example.org",
        SOURCE_MY_GRID_PASSWORD="hush",
        SOURCE_OTHER_URL="x",
        FINISHER_MY_GRID_URL="y",
    )
    store = MemoryStore()
    source, finisher = make_sources(config, store)["my-grid"].context, make_finisher(config, store).context  # type: ignore[attr-defined]
    assert source.settings == {"URL": "https://grid.example.org", "PASSWORD": "hush"}
    assert finisher.settings == {"URL": "y"}
    assert source.state_dir == tmp_path / "state" / "source-my-grid"
    assert source.state_dir.is_dir()
    assert (source.name, source.manager, source.store) == ("my-grid", config, store)
    assert "hush" not in repr(source)
    assert "hush" not in repr(config)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("nowhere", "JM_JOB_SOURCES: no 'nowhere' is installed (entry points copilot.sources); known: broken, directory, generic, my-grid, nothing"),
        ("broken", "'broken' (my_broken_grid:make) cannot be imported: ModuleNotFoundError"),
        ("nothing", "'nothing' (my_grid:nothing) cannot be imported: AttributeError"),
        ("my-grid", "the source 'my-grid' cannot be made: RuntimeError: no such grid"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_a_wrong_setting(
    configured: Callable[..., ManagerConfig], name: str, complaint: str
) -> None:
    config = configured(JM_JOB_SOURCES=f"{name} directory", SOURCE_MY_GRID_FAIL="1")
    with pytest.raises(ConfigError) as told:
        make_sources(config, MemoryStore())
    assert complaint in str(told.value)
    assert told.value.exit_code == 2


def test_an_unknown_finisher_is_named_with_those_that_are_known(
    configured: Callable[..., ManagerConfig],
) -> None:
    with pytest.raises(ConfigError, match=r"JM_FINISHER: no 'nowhere' .* known: generic"):
        make_finisher(configured(JM_FINISHER="nowhere"), MemoryStore())


def test_settings_of_plug_ins_may_come_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "copilot-jobmanager-generic.conf").write_text(
        f"{REQUIRED}JM_DONE_JOB_DIR /d\nSOURCE_X_A 1\nSOURCE_X_B 1\nSOURCE_X_C\n"
    )
    config = load(ManagerConfig, tmp_path, {"SOURCE_X_B": "2", "SOURCES": "3"})[0]
    assert config.plug_ins == {"SOURCE_X_A": "1", "SOURCE_X_B": "2"}


def test_a_finisher_of_somebody_else_needs_no_directory_of_results(tmp_path: Path) -> None:
    file = tmp_path / "copilot-jobmanager-generic.conf"
    file.write_text(f"{REQUIRED}JM_FINISHER my-grid\n")
    assert load(ManagerConfig, tmp_path, {})[0].done_job_dir is None
    file.write_text(REQUIRED)
    with pytest.raises(ConfigError, match="JM_DONE_JOB_DIR: missing"):
        load(ManagerConfig, tmp_path, {})
