"""Settings: where they come from, who goes first, and what a person reads when something is wrong."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.agent.config import AgentConfig
from copilot.cli.components import COMPONENTS, KNOWN_KEYS
from copilot.config import Settings, keep_resource, load
from copilot.config.kinds import (
    ADDRESS,
    ADDRESSES,
    AGENT_CLASS,
    FLAG,
    HOST,
    JID,
    LEASES,
    LOCAL_PART,
    PATH,
    READABLE_FILE,
    RESOURCE,
    SHARE,
    SIZE,
    TEXT,
    URL,
    Address,
    Kind,
    Tls,
    duration,
    whole,
)
from copilot.errors import ConfigError
from copilot.heartbeat.config import HeartbeatConfig
from copilot.jobmanager.config import FileServerConfig, ManagerConfig, SubmitConfig
from copilot.monitor.config import MonitorConfig
from copilot.storagemanager.config import StorageManagerConfig

AGENT = """\
JM_JABBER_ADDRESS      jobmanager@xmpp.cern.ch
AGENT_JABBER_SERVER    xmpp.cern.ch
AGENT_JABBER_DOMAIN    cern.ch
AGENT_JABBER_ID        agent
AGENT_JABBER_PASSWORD  secret # of ours
AGENT_WORK_DIR         /tmp/agent
"""
MANAGER = """\
JM_JABBER_SERVER xmpp.cern.ch
JM_JABBER_DOMAIN xmpp.cern.ch
JM_JABBER_ID jobmanager
JM_JABBER_PASSWORD secret
JM_CHIRP_SERVER chirp.cern.ch
JM_CHIRP_WORK_DIR /srv/chirp
JM_DONE_JOB_DIR /srv/done
JM_REDIS_SERVER localhost
"""


def write(directory: Path, name: str, text: str, mode: int = 0o600) -> Path:
    file = directory / name
    file.write_text(text)
    file.chmod(mode)
    return file


def problems(cls: type[Settings], place: Path, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(cls, place, environ or {})
    return str(caught.value).split("\n")


def without(text: str, *keys: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if line.split()[0] not in keys)


class TestReading:
    def test_the_keys_of_the_report_are_enough_for_an_agent(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-agent.conf", AGENT)
        config, warnings = load(AgentConfig, tmp_path, {}, known=lambda: KNOWN_KEYS)
        assert warnings == ()
        assert config.jid == "agent@cern.ch"
        assert config.jm_jabber_address == "jobmanager@xmpp.cern.ch"
        assert config.work_dir == Path("/tmp/agent")
        assert config.jabber_port == 5222
        assert config.jabber_tls is Tls.REQUIRED
        assert config.package_tool == ("alienv", "print")
        assert config.max_output == 10 * 2**30
        assert config.referral_domains == ("cern.ch",)

    def test_the_keys_of_the_report_are_enough_for_a_manager(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-jobmanager-generic.conf", MANAGER)
        config, _ = load(ManagerConfig, tmp_path, {})
        assert (config.chirp_port, config.redis_port) == (9094, 6379)
        assert config.secret_file == Path("/var/lib/copilot/claim.secret")
        assert config.files_dir == Path("/srv/chirp")
        assert config.url_lifetime > config.max_run_time == 24 * 3600

    def test_a_value_is_the_rest_of_the_line_with_its_hash_signs(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-agent.conf", "  # a comment\n\n" + AGENT)
        config, _ = load(AgentConfig, tmp_path, {})
        assert config.jabber_password == "secret # of ours"

    def test_files_written_elsewhere_are_read_too(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-agent.conf", "\ufeff" + AGENT.replace("\n", " \r\n"))
        assert load(AgentConfig, tmp_path, {})[0].jabber_domain == "cern.ch"

    def test_the_certificates_for_jabber_are_those_for_files_too(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-agent.conf", AGENT)
        certificates = write(tmp_path, "ca.pem", "")
        config, _ = load(AgentConfig, tmp_path, {"AGENT_JABBER_CA_FILE": str(certificates)})
        assert config.jabber_ca_file == config.files_ca_file == certificates

    def test_a_password_is_not_in_the_repr(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-agent.conf", AGENT)
        assert "secret #" not in repr(load(AgentConfig, tmp_path, {})[0])

    def test_monitor_and_heartbeat_take_the_files_of_the_report(self, tmp_path: Path) -> None:
        common = "{0}_JABBER_SERVER x.ch\n{0}_JABBER_DOMAIN x.ch\n{0}_JABBER_ID {0}\n{0}_JABBER_PASSWORD p\n"
        write(
            tmp_path,
            "copilot-monitor.conf",
            common.format("MON") + "CARBON_SERVER carbon.x.ch\nCARBON_PORT 2003\n",
        )
        chat = "HB_CHAT_SERVER conference.x.ch\nHB_CHAT_ROOM pilots-lounge\n"
        write(tmp_path, "copilot-heartbeat.conf", common.format("HB") + chat)
        assert load(MonitorConfig, tmp_path, {}, known=lambda: KNOWN_KEYS)[0].carbon_port == 2003
        assert load(HeartbeatConfig, tmp_path, {}, known=lambda: KNOWN_KEYS)[0].chat_room == "pilots-lounge"


class TestWhoGoesFirst:
    def test_the_components_file_goes_before_the_common_one(self, tmp_path: Path) -> None:
        write(tmp_path, "Copilot.conf", "AGENT_SLOTS 2\nAGENT_JABBER_PORT 5333\n")
        write(tmp_path, "copilot-agent.conf", AGENT + "AGENT_SLOTS 3\n")
        config, _ = load(AgentConfig, tmp_path, {})
        assert (config.slots, config.jabber_port) == (3, 5333)

    @pytest.mark.parametrize("cls", COMPONENTS)
    def test_every_setting_can_come_from_the_environment(self, cls: type[Settings], tmp_path: Path) -> None:
        for item in cls.declared():
            key = cls.key(item.field)
            lines = problems(cls, tmp_path, {key: "\0"})
            assert any(line.startswith(f"environment: {key}: expected ") for line in lines), key

    def test_the_environment_goes_before_files(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-agent.conf", AGENT + "AGENT_SLOTS 3\n")
        assert load(AgentConfig, tmp_path, {"AGENT_SLOTS": "4"})[0].slots == 4

    def test_an_empty_value_brings_the_default_back(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-agent.conf", AGENT + "AGENT_SLOTS 3\n")
        assert load(AgentConfig, tmp_path, {"AGENT_SLOTS": ""})[0].slots is None

    def test_the_directory_comes_from_the_environment(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-agent.conf", AGENT)
        assert load(AgentConfig, None, {"COPILOT_CONFIG": str(tmp_path)})[0].jabber_id == "agent"

    def test_a_file_may_be_named_and_has_the_common_one_beside_it(self, tmp_path: Path) -> None:
        write(tmp_path, "Copilot.conf", "AGENT_SLOTS 2\n")
        file = write(tmp_path, "mine.conf", AGENT)
        assert load(AgentConfig, file, {})[0].slots == 2

    def test_the_later_of_two_lines_counts_and_is_told(self, tmp_path: Path) -> None:
        file = write(tmp_path, "copilot-agent.conf", AGENT + "AGENT_SLOTS 2\nAGENT_SLOTS 3\n")
        config, warnings = load(AgentConfig, tmp_path, {})
        assert config.slots == 3
        assert warnings == (f"{file}:8: AGENT_SLOTS: was set at {file}:7 before; this one counts",)


class TestSecretsInFilesOfTheirOwn:
    """A password may stand in a file that holds nothing else, or in a credential of systemd."""

    @pytest.fixture
    def held(self, tmp_path: Path) -> Path:
        return write(tmp_path, "password", "of a file\n")

    def read(self, place: Path, **environ: str) -> tuple[str, tuple[str, ...]]:
        config, warnings = load(AgentConfig, place, environ, known=lambda: KNOWN_KEYS)
        return config.jabber_password, warnings

    def test_the_file_is_named_by_a_setting(self, tmp_path: Path, held: Path) -> None:
        text = without(AGENT, "AGENT_JABBER_PASSWORD") + f"AGENT_JABBER_PASSWORD_FILE {held}\n"
        place = write(tmp_path, "copilot-agent.conf", text)
        assert self.read(place) == ("of a file", ())

    def test_environment_before_credential_before_files(self, tmp_path: Path, held: Path) -> None:
        place = write(tmp_path, "copilot-agent.conf", AGENT)
        write(tmp_path, "AGENT_JABBER_PASSWORD", "of systemd")
        given = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
        assert self.read(place)[0] == "secret # of ours"
        assert self.read(place, **given)[0] == "of systemd"
        assert self.read(place, **given, AGENT_JABBER_PASSWORD_FILE=str(held))[0] == "of a file"
        named = {"AGENT_JABBER_PASSWORD_FILE": str(held), "AGENT_JABBER_PASSWORD": "of a variable"}
        assert self.read(place, **given, **named)[0] == "of a variable"

    def test_a_manager_has_its_own_before_the_shared_one(self, tmp_path: Path) -> None:
        place = write(tmp_path, "copilot-jobmanager-generic.conf", MANAGER)
        write(tmp_path, "JM_JABBER_PASSWORD", "of the job manager")
        given = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
        assert load(StorageManagerConfig, place, given)[0].jabber_password == "of the job manager"
        write(tmp_path, "SM_JABBER_PASSWORD", "its own")
        assert load(StorageManagerConfig, place, given)[0].jabber_password == "its own"

    @pytest.mark.parametrize(
        ("contents", "said"),
        [(None, "No such file"), ("", "one line"), ("hunter2\nx", "one line"), ("hunter2" * 600, "4096")],
    )
    def test_a_file_that_cannot_be_used_is_named_and_not_quoted(
        self, tmp_path: Path, contents: str | None, said: str
    ) -> None:
        place, path = write(tmp_path, "copilot-agent.conf", AGENT), tmp_path / "password"
        if contents is not None:
            path.write_text(contents)
        (problem,) = problems(AgentConfig, place, {"AGENT_JABBER_PASSWORD_FILE": str(path)})
        assert problem.startswith(f"environment: AGENT_JABBER_PASSWORD_FILE: {path}")
        assert said in problem
        assert "hunter2" not in problem

    def test_one_that_all_may_read_is_worth_a_word(self, tmp_path: Path) -> None:
        place, path = (
            write(tmp_path, "copilot-agent.conf", AGENT),
            write(tmp_path, "password", "hunter2", mode=0o644),
        )
        _, (warning,) = self.read(place, AGENT_JABBER_PASSWORD_FILE=str(path))
        assert warning.endswith(f"do `chmod o= {path}`")
        assert "hunter2" not in warning


class TestStorageManager:
    def test_its_own_keys_go_first_and_those_of_the_manager_fill_in(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-storagemanager.conf", MANAGER + "SM_JABBER_ID storage\nSM_REDIS_PORT\n")
        config, warnings = load(
            StorageManagerConfig, tmp_path, {"JM_REDIS_PORT": "6380"}, known=lambda: KNOWN_KEYS
        )
        assert (config.jabber_id, config.jabber_domain, config.redis_port) == (
            "storage",
            "xmpp.cern.ch",
            6380,
        )
        assert warnings == ()

    def test_it_reads_the_managers_file_while_its_own_says_nothing(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-jobmanager-generic.conf", MANAGER)
        write(tmp_path, "copilot-storagemanager.conf", "#SM_JABBER_ID storage\n")
        assert load(StorageManagerConfig, tmp_path, {})[0].jabber_id == "jobmanager"

    def test_it_never_takes_over_the_managers_address_or_mode(self, tmp_path: Path) -> None:
        own = "JM_JABBER_RESOURCE alpha\nJM_QUEUE_ONLY_MODE_ON 1\n"
        write(tmp_path, "copilot-jobmanager-generic.conf", MANAGER + own)
        config, _ = load(StorageManagerConfig, tmp_path, {})
        assert config.jabber_resource is None
        assert (config.storage_only_mode_on, config.queue_only_mode_on) == (True, False)

    @pytest.mark.parametrize(
        ("line", "key"),
        [("SM_STORAGE_ONLY_MODE_ON 0", "SM_STORAGE"), ("SM_QUEUE_ONLY_MODE_ON 1", "SM_QUEUE")],
    )
    def test_it_has_no_other_mode(self, tmp_path: Path, line: str, key: str) -> None:
        file = write(tmp_path, "copilot-storagemanager.conf", MANAGER + line + "\n")
        assert [text.startswith(f"{file}:9: {key}") for text in problems(StorageManagerConfig, tmp_path)] == [
            True
        ]


class TestMonitor:
    OWN = "MON_JABBER_SERVER xmpp.cern.ch\nMON_JABBER_DOMAIN xmpp.cern.ch\nMON_JABBER_ID monitor\nMON_JABBER_PASSWORD x\n"

    def test_it_finds_the_queue_where_the_manager_does(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-monitor.conf", self.OWN)
        write(tmp_path, "Copilot.conf", "JM_REDIS_SERVER queue.cern.ch\nJM_REDIS_PORT 6380\n")
        config, warnings = load(MonitorConfig, tmp_path, {"MON_REDIS_PORT": "6381"}, known=lambda: KNOWN_KEYS)
        assert (config.redis_server, config.redis_port, config.sees_queue) == ("queue.cern.ch", 6381, True)
        assert not warnings

    def test_it_needs_no_queue(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-monitor.conf", self.OWN)
        config, _ = load(MonitorConfig, tmp_path, {})
        assert not config.sees_queue

    def test_it_never_logs_in_as_the_manager(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-monitor.conf", without(self.OWN, "MON_JABBER_ID", "MON_JABBER_PASSWORD"))
        write(tmp_path, "Copilot.conf", MANAGER + "JM_JABBER_RESOURCE alpha\n")
        found = problems(MonitorConfig, tmp_path)
        assert [line.split(": ")[1] for line in found] == ["MON_JABBER_ID", "MON_JABBER_PASSWORD"]


class TestOtherReadersOfTheManagersFile:
    def test_submit_reads_its_own_file_else_the_managers(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-jobmanager-generic.conf", MANAGER)
        assert load(SubmitConfig, tmp_path, {})[0].chirp_server == "chirp.cern.ch"
        write(tmp_path, "copilot-job-submit.conf", "JM_REDIS_SERVER queue.cern.ch\n")
        config, _ = load(SubmitConfig, tmp_path, {})
        assert (config.redis_server, config.chirp_server) == ("queue.cern.ch", None)

    def test_the_file_server_needs_a_directory_and_no_account(self, tmp_path: Path) -> None:
        file = write(tmp_path, "copilot-jobmanager-generic.conf", "JM_FILES_URL http://localhost:8094\n")
        assert [
            line.startswith(f"{file}: JM_FILES_DIR: missing") for line in problems(FileServerConfig, tmp_path)
        ] == [True]
        config, _ = load(FileServerConfig, tmp_path, {"JM_CHIRP_WORK_DIR": "/srv/chirp"})
        assert (config.files_dir, config.files_listen) == (Path("/srv/chirp"), Address("127.0.0.1", 8094))


class TestWhatAPersonReads:
    def test_every_required_key_of_an_agent_is_named_at_once(self, tmp_path: Path) -> None:
        *lines, hint = problems(AgentConfig, tmp_path)
        assert hint.startswith(
            f"nothing is set in {tmp_path}: name the directory of your settings by --config"
        )
        file = f"{tmp_path}/copilot-agent.conf (no such file)"
        missing = [line.removeprefix(f"{file}: ").split(":")[0] for line in lines]
        assert sorted(missing) == sorted(line.split()[0] for line in AGENT.splitlines())
        assert (
            f"{file}: AGENT_WORK_DIR: missing; expected an absolute path (working directory of the agent, writable for it)"
            in lines
        )

    def test_every_required_key_of_a_manager_is_named_at_once(self, tmp_path: Path) -> None:
        missing = [line.split(": ")[1] for line in problems(ManagerConfig, tmp_path)[:-1]]
        keys = [line.split()[0] for line in MANAGER.splitlines()]
        assert sorted(missing) == sorted(
            set(keys) - {"JM_CHIRP_WORK_DIR"}
        )  # Chirp may run on another machine

    def test_a_wrong_value_is_named_with_file_and_line(self, tmp_path: Path) -> None:
        file = write(tmp_path, "copilot-agent.conf", AGENT + "\nAGENT_SLOTS x\n")
        assert problems(AgentConfig, tmp_path) == [
            f"{file}:8: AGENT_SLOTS: expected a whole number from 1 to 1024, found 'x'"
        ]

    def test_a_required_key_left_empty_is_named_with_its_line(self, tmp_path: Path) -> None:
        file = write(tmp_path, "copilot-agent.conf", "AGENT_WORK_DIR\n" + without(AGENT, "AGENT_WORK_DIR"))
        assert [line.split(": missing")[0] for line in problems(AgentConfig, tmp_path)] == [
            f"{file}:1: AGENT_WORK_DIR"
        ]

    def test_a_password_is_never_shown(self, tmp_path: Path) -> None:
        text = without(AGENT, "AGENT_JABBER_PASSWORD") + "AGENT_JABBER_PASSWORD hunter\x072\n"
        write(tmp_path, "copilot-agent.conf", text)
        (line,) = problems(AgentConfig, tmp_path)
        assert "AGENT_JABBER_PASSWORD: expected text" in line
        assert "hunter" not in line

    def test_a_line_with_an_equals_sign_is_refused_without_its_value(self, tmp_path: Path) -> None:
        file = write(tmp_path, "copilot-agent.conf", AGENT + "AGENT_JABBER_PASSWORD=hunter2\n")
        (line,) = problems(AgentConfig, tmp_path)
        assert line == f"{file}:7: AGENT_JABBER_PASSWORD: expected a name, blanks and a value, without '='"

    def test_exit_code_is_2(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            load(AgentConfig, tmp_path, {})
        assert caught.value.exit_code == 2

    def test_a_place_that_does_not_exist_is_refused(self, tmp_path: Path) -> None:
        (line,) = problems(AgentConfig, tmp_path / "nowhere")
        assert line.startswith("--config: expected a directory or file that exists")
        with pytest.raises(ConfigError, match="environment: COPILOT_CONFIG: expected a directory"):
            load(AgentConfig, None, {"COPILOT_CONFIG": str(tmp_path / "nowhere")})

    def test_a_file_that_is_no_text_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "copilot-agent.conf").write_bytes(b"AGENT_SLOTS \xff\n")
        assert problems(AgentConfig, tmp_path) == [
            f"{tmp_path}/copilot-agent.conf: byte 13 is not UTF-8; save the file as UTF-8 text"
        ]

    def test_a_directory_in_place_of_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "copilot-agent.conf").mkdir()
        (line,) = problems(AgentConfig, tmp_path)
        assert "copilot-agent.conf: cannot be read: Is a directory" in line

    def test_keys_of_other_components_are_ignored(self, tmp_path: Path) -> None:
        write(
            tmp_path, "copilot-agent.conf", AGENT + without(MANAGER, "JM_JABBER_ADDRESS") + "CARBON_PORT x\n"
        )
        assert load(AgentConfig, tmp_path, {}, known=lambda: KNOWN_KEYS)[1] == ()

    def test_a_key_that_nobody_knows_is_one_warning_with_the_nearest_name(self, tmp_path: Path) -> None:
        file = write(tmp_path, "copilot-agent.conf", AGENT + "AGENT_SLOT 4\nagent_slots 4\nQWERTY 1\n")
        assert load(AgentConfig, tmp_path, {}, known=lambda: KNOWN_KEYS)[1] == (
            f"{file}:7: AGENT_SLOT: no component knows this key; did you mean AGENT_SLOTS?",
            f"{file}:8: agent_slots: no component knows this key; did you mean AGENT_SLOTS?",
            f"{file}:9: QWERTY: no component knows this key",
        )

    def test_a_misspelt_key_is_told_together_with_the_missing_one(self, tmp_path: Path) -> None:
        file = write(tmp_path, "copilot-agent.conf", AGENT.replace("AGENT_WORK_DIR", "AGENT_WORKDIR"))
        with pytest.raises(ConfigError) as caught:
            load(AgentConfig, tmp_path, {}, known=lambda: KNOWN_KEYS)
        assert str(caught.value).split("\n") == [
            f"{file}: AGENT_WORK_DIR: missing; expected an absolute path (working directory of the agent, writable for it)",
            f"warning: {file}:6: AGENT_WORKDIR: no component knows this key; did you mean AGENT_WORK_DIR?",
        ]

    @pytest.mark.parametrize(("mode", "expected"), [(0o600, 0), (0o640, 0), (0o644, 1), (0o602, 1)])
    def test_an_open_file_with_a_password_is_a_warning(
        self, tmp_path: Path, mode: int, expected: int
    ) -> None:
        file = write(tmp_path, "copilot-agent.conf", AGENT, mode)
        warnings = load(AgentConfig, tmp_path, {})[1]
        assert len(warnings) == expected
        assert all(warning.startswith(f"{file}: holds a password") for warning in warnings)

    def test_an_open_file_without_a_password_is_none(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-agent.conf", without(AGENT, "AGENT_JABBER_PASSWORD"), 0o644)
        assert load(AgentConfig, tmp_path, {"AGENT_JABBER_PASSWORD": "p"})[1] == ()


class TestRules:
    @pytest.mark.parametrize("server", ["localhost", "127.0.0.1", "127.8.9.10", "::1"])
    def test_tls_may_be_off_on_loopback(self, tmp_path: Path, server: str) -> None:
        write(tmp_path, "copilot-agent.conf", AGENT + f"AGENT_JABBER_TLS off\nAGENT_JABBER_SERVER {server}\n")
        assert load(AgentConfig, tmp_path, {})[0].jabber_tls is Tls.OFF

    @pytest.mark.parametrize("server", ["xmpp.cern.ch", "10.0.0.1", "localhost.cern.ch", "::2"])
    def test_tls_may_not_be_off_elsewhere(self, tmp_path: Path, server: str) -> None:
        text = without(AGENT, "AGENT_JABBER_SERVER") + f"AGENT_JABBER_TLS off\nAGENT_JABBER_SERVER {server}\n"
        file = write(tmp_path, "copilot-agent.conf", text)
        (line,) = problems(AgentConfig, tmp_path)
        assert line.startswith(f"{file}:6: AGENT_JABBER_TLS: expected 'required'")

    def test_secure_mode_has_its_files_where_the_component_keeps_its_own(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-agent.conf", AGENT + "AGENT_SECURE_MODE 1\n")
        config, _ = load(AgentConfig, tmp_path, {})
        assert config.secure_mode
        assert config.secure_suites == ("v2",)
        assert config.key_file == config.work_dir / f"{config.jabber_id}.key"
        assert config.public_keys_file == config.work_dir / "services.pub"

    def test_a_suite_that_nobody_knows_is_refused(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-agent.conf", AGENT + "AGENT_SECURE_SUITES v3\n")
        (line,) = problems(AgentConfig, tmp_path)
        assert "AGENT_SECURE_SUITES: expected v2, v1 or both" in line

    def test_queue_only_mode_needs_no_place_for_files(self, tmp_path: Path) -> None:
        text = without(MANAGER, "JM_CHIRP_SERVER", "JM_CHIRP_WORK_DIR", "JM_DONE_JOB_DIR")
        write(tmp_path, "copilot-jobmanager-generic.conf", text + "JM_QUEUE_ONLY_MODE_ON 1\n")
        assert load(ManagerConfig, tmp_path, {})[0].queue_only_mode_on

    def test_a_file_server_stands_for_chirp_but_needs_a_directory(self, tmp_path: Path) -> None:
        text = (
            without(MANAGER, "JM_CHIRP_SERVER", "JM_CHIRP_WORK_DIR") + "JM_FILES_URL https://files.cern.ch/\n"
        )
        file = write(tmp_path, "copilot-jobmanager-generic.conf", text)
        (line,) = problems(ManagerConfig, tmp_path)
        assert line.startswith(f"{file}: JM_FILES_DIR: missing")
        config, _ = load(ManagerConfig, tmp_path, {"JM_FILES_DIR": "/srv/files"})
        assert (config.files_url, config.files_dir) == ("https://files.cern.ch", Path("/srv/files"))

    def test_sentinels_stand_for_the_redis_server(self, tmp_path: Path) -> None:
        text = without(MANAGER, "JM_REDIS_SERVER")
        file = write(tmp_path, "copilot-jobmanager-generic.conf", text)
        (line,) = problems(ManagerConfig, tmp_path)
        assert line.startswith(f"{file}: JM_REDIS_SERVER: missing")
        assert line.endswith("or JM_REDIS_SOCKET or JM_REDIS_SENTINELS instead")
        config, _ = load(ManagerConfig, tmp_path, {"JM_REDIS_SENTINELS": "s1:26379,s2:26379"})
        assert config.redis_sentinels == (Address("s1", 26379), Address("s2", 26379))
        assert (config.redis_sentinel_service, config.redis_replicas) == ("copilot", 0)

    def test_a_socket_stands_for_the_redis_server(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-jobmanager-generic.conf", without(MANAGER, "JM_REDIS_SERVER"))
        assert load(ManagerConfig, tmp_path, {"JM_REDIS_SOCKET": "/run/redis.sock"})[0].redis_server is None

    @pytest.mark.parametrize(
        ("lines", "key"),
        [
            ("JM_MAX_RUN_TIME 7d\n", "JM_URL_LIFETIME: expected more than JM_MAX_RUN_TIME"),
            ("JM_STORAGE_ONLY_MODE_ON 1\nJM_QUEUE_ONLY_MODE_ON 1\n", "JM_QUEUE_ONLY_MODE_ON: expected 0"),
            ("JM_FILES_CERT_FILE /c.pem\n", "JM_FILES_KEY_FILE: missing"),
            ("JM_FILES_KEY_FILE /k.pem\n", "JM_FILES_CERT_FILE: missing"),
        ],
    )
    def test_settings_that_contradict_each_other_are_refused(
        self, tmp_path: Path, lines: str, key: str
    ) -> None:
        write(tmp_path, "copilot-jobmanager-generic.conf", MANAGER + lines)
        (line,) = problems(ManagerConfig, tmp_path)
        assert f": {key}" in line

    def test_a_life_has_room_for_a_job_and_its_end(self, tmp_path: Path) -> None:
        write(tmp_path, "copilot-agent.conf", AGENT + "AGENT_LIFETIME 60\n")
        (line,) = problems(AgentConfig, tmp_path)
        assert ": AGENT_LIFETIME: expected more than 40 s of AGENT_DRAIN_GRACE and 20 s" in line
        write(tmp_path, "copilot-agent.conf", AGENT + "AGENT_LIFETIME 60\nAGENT_DRAIN_GRACE 0\n")
        assert load(AgentConfig, tmp_path, {})[0].lifetime == 60.0

    def test_a_rule_keeps_silent_about_a_value_that_could_not_be_read(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            "copilot-jobmanager-generic.conf",
            MANAGER + "JM_FILES_URL ftp://x\nJM_MAX_RUN_TIME ever\n",
        )
        assert [line.split(": ")[1] for line in problems(ManagerConfig, tmp_path)] == [
            "JM_FILES_URL",
            "JM_MAX_RUN_TIME",
        ]


class TestKinds:
    @pytest.mark.parametrize(
        ("kind", "text", "value"),
        [
            (whole(1, 9), "9", 9),
            (duration(0), "0", 0),
            (duration(1), "90", 90),
            (duration(1), "1.5h", 5400),
            (duration(1), "10m", 600),
            (duration(1), "7d", 604800),
            (SIZE, "500 MiB", 500 * 2**20),
            (SIZE, "1024", 1024),
            (SHARE, "0.85", 0.85),
            (SHARE, "1", 1.0),
            (FLAG, "Yes", True),
            (FLAG, "off", False),
            (HOST, "XMPP.cern.ch", "xmpp.cern.ch"),
            (HOST, "::1", "::1"),
            (ADDRESS, "[::1]:80", Address("::1", 80)),
            (ADDRESS, "files.x.ch:443", Address("files.x.ch", 443)),
            (ADDRESSES, "a:1, [::1]:2  a:1,c:3", (Address("a", 1), Address("::1", 2), Address("c", 3))),
            (JID, "JM@Cern.ch", "jm@cern.ch"),
            (AGENT_CLASS, "lab-2", "lab-2"),
            (LEASES, "laptop=4h  volunteer=600", {"laptop": 14400.0, "volunteer": 600.0}),
            (URL, "https://x.ch:8094/files/", "https://x.ch:8094/files"),
        ],
    )
    def test_what_people_write_is_understood(self, kind: Kind[Any], text: str, value: object) -> None:
        assert kind.convert(text) == value

    @pytest.mark.parametrize(
        ("kind", "text"),
        [
            (whole(1, 9), "10"),
            (whole(1), "0"),
            (whole(1), "1.0"),
            (whole(1), "१"),
            (duration(1), "0.5"),
            (AGENT_CLASS, "Laptop"),
            (AGENT_CLASS, "2nd"),
            (AGENT_CLASS, "a" * 33),
            (AGENT_CLASS, "a=b"),
            (LEASES, "laptop"),
            (LEASES, "laptop=4"),
            (LEASES, "laptop=60 laptop=70"),
            (LEASES, "=60"),
            (duration(0), "-1"),
            (duration(0), "inf"),
            (duration(0), "1 week"),
            (SIZE, "0"),
            (SIZE, "10 GB"),
            (SHARE, "0.0"),
            (SHARE, "80"),
            (SHARE, "1.1"),
            (SHARE, "80%"),
            (FLAG, "maybe"),
            (HOST, "xmpp.cern.ch:5222"),
            (HOST, "300.1.1.1"),
            (HOST, "a..b"),
            (HOST, "x/../y"),
            (ADDRESS, "localhost"),
            (ADDRESSES, ","),
            (ADDRESSES, "a:1 b"),
            (ADDRESS, "::1:80"),
            (ADDRESS, "x:0"),
            (JID, "cern.ch"),
            (JID, "a@b/resource"),
            (JID, "a@b@c"),
            (LOCAL_PART, "jm@cern.ch"),
            (URL, "ftp://x.ch"),
            (URL, "https://user:pass@x.ch"),
            (URL, "https://x.ch/?a=b"),
            (URL, "https://x.ch:99999"),
            (URL, "https://x.ch:0"),
            (URL, "https://"),
            (RESOURCE, "x" * 1024),
            (READABLE_FILE, "/nowhere/ca.pem"),
            (READABLE_FILE, "/tmp"),
            (PATH, "work"),
            (PATH, "/a\x1bb"),
            (TEXT, "a\tb"),
        ],
    )
    def test_what_could_mean_something_else_is_refused(self, kind: Kind[Any], text: str) -> None:
        with pytest.raises(ValueError):  # noqa: PT011 - the loader makes the text
            kind.convert(text)

    @given(text=st.text(max_size=40))
    def test_no_value_makes_anything_but_a_value_error(self, text: str) -> None:
        for kind in {item.kind for cls in COMPONENTS for item in cls.declared()}:
            try:
                kind.convert(text)
            except ValueError:
                continue


class TestDeclarations:
    @pytest.mark.parametrize("cls", COMPONENTS)
    def test_a_field_bears_the_name_of_its_key(self, cls: type[Settings]) -> None:
        for item in cls.declared():
            own = rf"(\*|{cls.program.prefixes[0]})_"
            expected = re.sub(rf"^{own}", "", item.key).lower()
            assert item.field in (expected, item.key.lower())

    @pytest.mark.parametrize("cls", COMPONENTS)
    def test_secrets_are_passwords_and_private_keys_and_nothing_else(self, cls: type[Settings]) -> None:
        named = ("_PASSWORD", "_OWN_KEY")
        assert all(item.secret == item.key.endswith(named) for item in cls.declared())


class TestKeptResource:
    def test_it_stays_the_same_from_start_to_start(self, tmp_path: Path) -> None:
        first = keep_resource(tmp_path, "agent")
        first.release()
        second = keep_resource(tmp_path, "agent")
        assert second.name == first.name
        assert second.name.startswith("agent-")
        second.release()

    def test_two_at_a_time_are_never_the_same(self, tmp_path: Path) -> None:
        first, second = keep_resource(tmp_path, "jm"), keep_resource(tmp_path, "jm")
        assert first.name != second.name
        first.release()
        second.release()

    def test_a_broken_file_is_made_anew(self, tmp_path: Path) -> None:
        (tmp_path / "agent-1.resource").write_bytes(b"x/../\xff\n" * 40)
        kept = keep_resource(tmp_path, "agent")
        kept.release()
        assert (tmp_path / "agent-1.resource").read_text() == f"{kept.name}\n"

    def test_a_directory_that_is_not_there_is_an_error_of_configuration(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="the Jabber resource cannot be kept here"):
            keep_resource(tmp_path / "nowhere", "agent")
