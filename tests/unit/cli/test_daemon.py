"""What the daemons' commands say and how they exit, before they talk to anybody."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import copilot
from copilot.agent.config import AgentConfig
from copilot.cli import agent, daemon, fileserver, jobmanager, storagemanager
from copilot.cli.directories import make_directory
from copilot.cli.identity import RUN_AS
from copilot.cli.reloading import Reloading
from copilot.errors import ConfigError, LoginRefused
from copilot.protocol.rules import Role

COMMANDS = {
    "copilot-agent": agent.main,
    "copilot-fileserver": fileserver.main,
    "copilot-jobmanager-generic": jobmanager.main,
    "copilot-storagemanager": storagemanager.main,
}
GOOD = """\
JM_JABBER_ADDRESS jm@example.org
AGENT_JABBER_SERVER localhost
AGENT_JABBER_DOMAIN example.org
AGENT_JABBER_ID agent
AGENT_JABBER_PASSWORD hunter2
AGENT_WORK_DIR /nowhere
"""

Main = Callable[[list[str]], int]
every_command = pytest.mark.parametrize("name", COMMANDS)


@pytest.fixture(autouse=True)
def _as_from_a_shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings from the outside, and the log as it was. This process is not closed to others: it is no daemon."""
    monkeypatch.setattr(daemon, "keep_to_itself", lambda: None)
    for name in ("COPILOT_CONFIG", RUN_AS):
        monkeypatch.delenv(name, raising=False)
    root, ours = logging.getLogger(), logging.getLogger("copilot")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    for logger, level in zip((root, ours), levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An agent's configuration file in order."""
    path = tmp_path / "copilot-agent.conf"
    path.write_text(GOOD)
    path.chmod(0o600)
    return path


def started(file: Path, *more: str, error: BaseException | None = None) -> int:
    """The exit code of a daemon that does nothing but raise `error`, or else exits with 7."""

    async def run(_: AgentConfig, __: Reloading[AgentConfig]) -> int:
        if error is not None:
            raise error
        return 7

    return daemon.main(AgentConfig, "Does nothing.", run, ["--config", str(file), *more])


def exit_of(main: Main, *arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    return left.value.code


@every_command
def test_it_tells_its_version(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_of(COMMANDS[name], "--version") == 0
    assert capsys.readouterr().out == f"{name} {copilot.__version__}\n"


@every_command
def test_help_says_what_it_does_and_where_its_settings_are(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_of(COMMANDS[name], "--help") == 0
    words = " ".join(capsys.readouterr().out.split())
    assert words.startswith(f"usage: {name} ")
    assert f"copilot config show {name.removeprefix('copilot-')}" in words
    about = words.partition(" options: ")[0].rpartition("] ")[2]
    assert about.endswith(".")
    assert len(about.split()) > 4


def test_each_help_says_something_else(capsys: pytest.CaptureFixture[str]) -> None:
    texts = set()
    for name, main in COMMANDS.items():
        exit_of(main, "--help")
        texts.add(capsys.readouterr().out.replace(name, "").replace(name.removeprefix("copilot-"), ""))
    assert len(texts) == len(COMMANDS)


@every_command
def test_an_unknown_option_is_a_mistake_of_the_caller(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_of(COMMANDS[name], "--faster") == 2
    assert "unrecognized arguments: --faster" in capsys.readouterr().err


@every_command
def test_missing_settings_are_named_one_by_one(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert COMMANDS[name](["--config", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"{name}: ")
    assert "missing" in told.err
    assert told.out == ""


def test_a_wrong_setting_is_named_with_its_place_and_the_password_stays_out_of_it(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(f"{GOOD}AGENT_JABBER_PORT four\n")
    assert started(file) == 2
    told = capsys.readouterr().err
    assert f"{file}:7: AGENT_JABBER_PORT: expected a port" in told
    assert "hunter2" not in told


def test_a_logger_configuration_that_is_not_there_is_a_wrong_setting(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(f"{GOOD}AGENT_LOGGER_CONFIG_FILE /nowhere/log.conf\n")
    assert started(file) == 2
    assert "/nowhere/log.conf" in capsys.readouterr().err


def test_a_user_that_does_not_exist_is_a_wrong_setting(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(RUN_AS, "nobody-of-that-name")
    assert started(file) == 2
    assert "there is no user 'nobody-of-that-name'" in capsys.readouterr().err


def test_the_exit_code_is_the_daemons(file: Path) -> None:
    assert started(file) == 7


@pytest.mark.parametrize(
    ("error", "code"), [(LoginRefused("wrong password"), 1), (ConfigError("no such queue"), 2)]
)
def test_what_ends_a_daemon_is_one_line_and_its_exit_code(
    file: Path, error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert started(file, error=error) == code
    assert capsys.readouterr().err.splitlines()[-1] == f"copilot-agent: {error}"


def test_ctrl_c_ends_it_without_a_traceback(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert started(file, error=KeyboardInterrupt()) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(("option", "level"), [((), logging.INFO), (("--debug",), logging.DEBUG)])
def test_debug_shows_every_message(file: Path, option: tuple[str, ...], level: int) -> None:
    started(file, *option)
    assert logging.getLogger("copilot").getEffectiveLevel() == level


def test_a_warning_about_the_settings_is_logged(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.chmod(0o644)
    started(file)
    assert f"{file}: holds a password" in caplog.text


@pytest.mark.parametrize("kind", ["file", "below a file"])
def test_a_directory_that_cannot_be_made_is_a_wrong_setting(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" if kind == "file" else tmp_path / "file" / "below"
    with pytest.raises(ConfigError, match="cannot be made"):
        make_directory(path)


def test_a_directory_of_its_own_is_closed_to_others(tmp_path: Path) -> None:
    for _ in range(2):
        make_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_two_endpoints_never_give_the_same_id() -> None:
    one, two = daemon.endpoint(Role.AGENT), daemon.endpoint(Role.AGENT)
    assert one._new_id() != two._new_id()


def test_an_option_goes_before_the_environment_and_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(GOOD + "AGENT_MAX_JOBS 1\nAGENT_MAX_IDLE 1m\n")
    monkeypatch.setenv("AGENT_MAX_JOBS", "2")
    seen: list[AgentConfig] = []

    async def run(config: AgentConfig, _: Reloading[AgentConfig]) -> int:
        seen.append(config)
        return 0

    monkeypatch.setattr(agent, "run", run)
    assert agent.main(["--config", str(file), "--max-jobs", "3", "--lifetime", "2h"]) == 0
    assert [(one.max_jobs, one.max_idle, one.lifetime) for one in seen] == [(3, 60.0, 7200.0)]


def test_a_wrong_option_is_a_wrong_setting(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert agent.main(["--config", str(file), "--max-jobs", "none"]) == 2
    assert "option --max-jobs (AGENT_MAX_JOBS): expected a whole number from 1" in capsys.readouterr().err
