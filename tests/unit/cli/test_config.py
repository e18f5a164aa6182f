"""`copilot config`: check, show and init, as a person uses them."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from copilot.cli.components import COMPONENTS
from copilot.cli.config import app
from copilot.cli.samples import sample_files
from copilot.config import Settings

ETC = Path(__file__).parents[3] / "etc" / "copilot"
AGENT = """\
JM_JABBER_ADDRESS jm@example.org
AGENT_JABBER_SERVER localhost
AGENT_JABBER_DOMAIN example.org
AGENT_JABBER_ID agent
AGENT_JABBER_PASSWORD hunter2
AGENT_WORK_DIR /tmp/agent
"""


def run(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=env)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A configuration directory with an agent's file in order."""
    file = tmp_path / "copilot-agent.conf"
    file.write_text(AGENT)
    file.chmod(0o600)
    return tmp_path


class TestCheck:
    def test_a_good_file_is_ok(self, directory: Path) -> None:
        done = run("check", "--config", directory)
        assert (done.exit_code, done.stdout, done.stderr) == (0, "copilot-agent: ok\n", "")

    def test_every_problem_of_every_component_is_told(self, directory: Path) -> None:
        (directory / "copilot-heartbeat.conf").write_text("HB_JABBER_PORT x\n")
        done = run("check", "--config", directory)
        assert done.exit_code == 2
        assert done.stdout == "copilot-agent: ok\n"
        assert f"{directory}/copilot-heartbeat.conf:1: HB_JABBER_PORT: expected a port" in done.stderr
        assert "HB_CHAT_ROOM: missing" in done.stderr

    def test_what_is_wrong_is_there_as_data(self, directory: Path) -> None:
        (directory / "copilot-heartbeat.conf").write_text("HB_JABBER_PORT x\n")
        done = run("check", "--config", directory, "--json")
        good, bad = json.loads(done.stdout)
        assert (done.exit_code, done.stderr) == (2, "")
        assert good == {"component": "copilot-agent", "ok": True, "faults": [], "warnings": []}
        assert (bad["component"], bad["ok"]) == ("copilot-heartbeat", False)
        assert any("HB_JABBER_PORT: expected a port" in line for line in bad["faults"])

    def test_a_component_can_be_named(self, directory: Path) -> None:
        assert run("check", "copilot-agent", "--config", directory).exit_code == 0
        done = run("check", "monitor", "--config", directory)
        assert done.exit_code == 2
        assert "copilot-monitor.conf (no such file): MON_JABBER_SERVER: missing" in done.stderr

    def test_a_file_can_be_named(self, directory: Path) -> None:
        assert run("check", "--config", directory / "copilot-agent.conf").stdout == "copilot-agent: ok\n"

    def test_unknown_keys_are_told_once_and_fail_only_when_strict(self, directory: Path) -> None:
        (directory / "Copilot.conf").write_text("JM_REDIS_SERVR localhost\n")
        (directory / "copilot-job-submit.conf").write_text("JM_REDIS_SERVER localhost\n")
        done = run("check", "--config", directory)
        assert (done.exit_code, done.stdout) == (0, "copilot-agent: ok\ncopilot-job-submit: ok\n")
        assert done.stderr == (
            f"warning: {directory}/Copilot.conf:1: JM_REDIS_SERVR: no component knows this key; "
            "did you mean JM_REDIS_SERVER?\n"
        )
        assert run("check", "--strict", "--config", directory).exit_code == 2
        (directory / "copilot-monitor.conf").write_text("CARBON_PORT x\n")
        assert run("check", "--config", directory).stderr.count("JM_REDIS_SERVR") == 1

    def test_the_directory_may_come_from_the_environment(self, directory: Path) -> None:
        assert run("check", env={"COPILOT_CONFIG": str(directory)}).exit_code == 0

    @pytest.mark.parametrize("arguments", [["check", "nobody"], ["show", "nobody"]])
    def test_an_unknown_component_is_named(self, arguments: list[str]) -> None:
        done = run(*arguments)
        assert done.exit_code == 2
        assert "component 'nobody': expected one of agent, jobmanager-generic" in done.stderr

    def test_an_empty_directory_is_an_error(self, tmp_path: Path) -> None:
        done = run("check", "--config", tmp_path)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "no settings of a component found here" in done.stderr


class TestShow:
    def test_it_tells_value_and_origin_but_no_secret(self, directory: Path) -> None:
        done = run("show", "agent", "--config", directory, env={"AGENT_SLOTS": "4"})
        rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
        assert done.exit_code == 0
        assert rows["AGENT_SLOTS"] == ["4", "environment"]
        assert rows["AGENT_JABBER_PORT"] == ["5222", "default"]
        assert rows["AGENT_JABBER_PASSWORD"] == ["********", f"{directory}/copilot-agent.conf:5"]
        assert rows["AGENT_REFERRAL_DOMAINS"] == ["example.org", "default"]
        assert rows["AGENT_SHARED_DIR"] == ["(not", "set)", "default"]
        assert "hunter2" not in done.output

    def test_json_has_the_same(self, directory: Path) -> None:
        done = run("show", "agent", "--json", "--config", directory)
        shown = json.loads(done.stdout)
        assert shown["AGENT_MAX_OUTPUT"] == {"value": "10 GiB", "origin": "default"}
        assert shown["AGENT_SHARED_DIR"] == {"value": None, "origin": "default"}
        assert shown["AGENT_JABBER_PASSWORD"]["value"] == "********"

    def test_a_key_of_the_manager_is_named_where_it_counts_for_the_storage_manager(
        self, tmp_path: Path
    ) -> None:
        file = tmp_path / "copilot-jobmanager-generic.conf"
        file.write_text(
            "JM_JABBER_SERVER x.ch\nJM_JABBER_DOMAIN x.ch\nJM_JABBER_ID jm\nJM_JABBER_PASSWORD p\n"
            "JM_REDIS_SERVER localhost\nJM_DONE_JOB_DIR /done\nJM_FILES_URL http://x.ch\nJM_FILES_DIR /files\n"
        )
        file.chmod(0o600)
        shown = json.loads(run("show", "storagemanager", "--json", "--config", tmp_path).stdout)
        assert shown["SM_REDIS_SERVER"] == {"value": "localhost", "origin": f"{file}:5 (JM_REDIS_SERVER)"}
        assert shown["SM_SECRET_FILE"] == {"value": "/var/lib/copilot/claim.secret", "origin": "default"}

    def test_a_broken_configuration_is_not_shown(self, tmp_path: Path) -> None:
        done = run("show", "agent", "--config", tmp_path)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "AGENT_WORK_DIR: missing" in done.stderr


class TestInit:
    def test_the_samples_in_etc_are_what_it_writes(self, tmp_path: Path) -> None:
        assert run("init", tmp_path / "new").exit_code == 0
        written = {file.name: file.read_text() for file in (tmp_path / "new").iterdir()}
        assert written == sample_files()
        assert written == {file.name: file.read_text() for file in ETC.glob("*.conf")}

    def test_files_for_passwords_are_nobody_elses_business(self, tmp_path: Path) -> None:
        run("init", tmp_path)
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
        assert modes["copilot-agent.conf"] == modes["copilot-jobmanager-generic.conf"] == 0o600
        assert modes["Copilot.conf"] == modes["copilot-job-submit.conf"] == 0o600

    def test_it_overwrites_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "copilot-agent.conf").write_text("mine\n")
        done = run("init", tmp_path)
        assert done.exit_code == 2
        assert "copilot-agent.conf: exists already; nothing was written" in done.stderr
        assert [file.name for file in tmp_path.iterdir()] == ["copilot-agent.conf"]

    def test_a_place_that_cannot_be_written_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        done = run("init", tmp_path / "file" / "below")
        assert done.exit_code == 2
        assert "cannot be written: Not a directory" in done.stderr

    def test_filling_in_what_is_required_makes_a_good_file(self, tmp_path: Path) -> None:
        run("init", tmp_path)
        file = tmp_path / "copilot-agent.conf"
        text = file.read_text()
        for line in AGENT.splitlines():
            assert f"\n{line.split()[0]}\n" in text
            text = text.replace(f"\n{line.split()[0]}\n", f"\n{line}\n")
        file.write_text(text)
        done = run("check", "agent", "--config", tmp_path)
        assert (done.exit_code, done.stdout, done.stderr) == (0, "copilot-agent: ok\n", "")

    @pytest.mark.parametrize("cls", COMPONENTS)
    def test_every_key_has_its_line(self, cls: type[Settings]) -> None:
        lines = sample_files()[cls.program.files[0]].splitlines()
        for item in cls.declared():
            key = cls.key(item.field)
            assert any(line.lstrip("#").split()[:1] == [key] for line in lines), key
