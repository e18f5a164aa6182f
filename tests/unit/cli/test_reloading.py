"""A daemon reads its configuration again: all of it or nothing, and what needs a restart is named."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from copilot.agent.config import AgentConfig
from copilot.cli import reloading as module
from copilot.cli.certificates import ServerCertificate
from copilot.cli.reloading import Reloading, askers_of, deaf_until_ready, on_hangup
from copilot.config import load
from copilot.errors import ConfigError
from copilot.jobmanager.config import FileServerConfig
from copilot.local.certificates import ensure
from copilot.log import prepare, set_up
from copilot.runtime.systemd import READY, Supervisor
from tests.patience import PATIENCE_S
from tests.unit.cli.test_daemon import GOOD as AGENT_IN_ORDER

GOOD = AGENT_IN_ORDER + "HB_ALLOW boss@example.org\n"


class Daemon:
    """Settings in a file, and what was put to work."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.write("")
        self.reloading = Reloading(self.read(), self.read)
        self.put: list[object] = []

    def write(self, text: str) -> None:
        self.file.write_text(GOOD + text)
        self.file.chmod(0o600)

    def read(self) -> AgentConfig:
        return load(AgentConfig, self.file, {})[0]


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path / "copilot-agent.conf")


def test_it_says_by_their_keys_what_was_taken_over_and_what_needs_a_restart(daemon: Daemon) -> None:
    daemon.reloading.take("tags", by=lambda new: daemon.put.append(new.tags))
    daemon.write("AGENT_TAGS ssd\nAGENT_SLOTS 3\n")
    daemon.file.write_text(daemon.file.read_text().replace("hunter2", "hunter3"))
    said = daemon.reloading.reload()
    assert said == (
        "The configuration was read again. Taken over: AGENT_TAGS. A restart is needed for: AGENT_JABBER_PASSWORD, AGENT_SLOTS."
    )
    assert daemon.put == [("ssd",)]
    # What needs a restart needs it still, and is said again.
    assert (
        "No setting was taken over. A restart is needed for: AGENT_JABBER_PASSWORD"
        in daemon.reloading.reload()
    )


def test_what_needs_a_restart_is_not_given_to_those_who_take_the_rest(daemon: Daemon) -> None:
    slots = daemon.read().slots
    daemon.reloading.take("tags", by=lambda new: daemon.put.append((new.tags, new.slots)))
    daemon.write("AGENT_TAGS ssd\nAGENT_SLOTS 3\n")
    daemon.reloading.reload()
    assert daemon.put == [(("ssd",), slots)]


def test_all_is_taken_over_or_nothing(daemon: Daemon) -> None:
    def fails(_: AgentConfig) -> Callable[[], object]:
        raise ConfigError("no such file")

    daemon.reloading.take("tags", by=lambda new: daemon.put.append(new.tags))
    daemon.reloading.on("max_idle", prepare=fails)
    daemon.write("AGENT_TAGS ssd\n")
    with pytest.raises(ConfigError, match="no such file"):
        daemon.reloading.reload()
    assert daemon.put == []


async def test_a_broken_file_is_one_error_in_the_log_and_its_text_goes_to_no_other_machine(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.write("AGENT_SLOTS none\n")
    daemon.reloading.reload_and_log(Supervisor({}))
    assert "nothing has changed" in await daemon.reloading.asked()
    assert str(daemon.file) not in await daemon.reloading.asked()
    assert {(one.levelno, f"{daemon.file}:8: AGENT_SLOTS" in one.message) for one in caplog.records} == {
        (logging.ERROR, True)
    }


def test_a_setting_that_promises_and_is_not_taken_is_found_at_the_start(daemon: Daemon) -> None:
    with pytest.raises(AssertionError, match="tags"):
        daemon.reloading.complete()


def test_who_may_ask_is_who_the_settings_name_now(daemon: Daemon) -> None:
    askers = askers_of(daemon.read(), daemon.reloading)
    assert (askers.include("boss@example.org/x"), askers.accounts) == (True, ["boss@example.org"])
    daemon.file.write_text(GOOD.replace("boss@", "chief@"))
    daemon.reloading.reload()
    assert (askers.include("boss@example.org/x"), askers.accounts) == (False, ["chief@example.org"])


def test_systemd_hears_of_a_reload_once_it_knows_that_we_are_ready(daemon: Daemon, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        supervisor = Supervisor({"NOTIFY_SOCKET": systemd.getsockname()})
        daemon.reloading.reload_and_log(supervisor)  # no READY=1 before its time
        with pytest.raises(BlockingIOError):
            systemd.recv(1000)
        supervisor.tell(READY)
        daemon.reloading.reload_and_log(supervisor)
        said = [systemd.recv(1000).decode() for _ in range(3)]
    assert (said[0], said[2]) == (READY, READY)
    assert said[1].startswith("RELOADING=1\nMONOTONIC_USEC=")


@pytest.fixture
def own_hangup() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("own_hangup")
async def test_a_hangup_before_and_after_its_time_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_has_terminal", lambda: False)
    heard = asyncio.Event()
    deaf_until_ready()
    os.kill(os.getpid(), signal.SIGHUP)
    with on_hangup(heard.set):
        assert not heard.is_set()
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(heard.wait(), PATIENCE_S)
    os.kill(os.getpid(), signal.SIGHUP)


@pytest.mark.usefixtures("own_hangup")
async def test_in_a_terminal_a_hangup_means_what_it_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_has_terminal", lambda: True)
    before = signal.getsignal(signal.SIGHUP)
    deaf_until_ready()
    with on_hangup(lambda: None):
        assert signal.getsignal(signal.SIGHUP) == before


def test_a_logger_file_that_names_no_way_out_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "logger"
    file.write_text("dispatchers = nowhere\n")
    with pytest.raises(ConfigError, match=f"{file}: nowhere.class: expected"):
        prepare(file, level=logging.INFO, layout="json", program="p", again=True)


def test_a_log_file_is_not_emptied_by_a_reload(tmp_path: Path) -> None:
    root, ours = logging.getLogger(), logging.getLogger("copilot")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    file, written = tmp_path / "logger", tmp_path / "log"
    file.write_text(
        f"dispatchers = f\nf.class = Log::Dispatch::File\nf.filename = {written}\nf.mode = write\n"
    )
    try:
        set_up(file)
        ours.info("one")
        prepare(file, level=logging.INFO, layout="%m%n", program="p", again=True)()
        ours.info("two")
    finally:
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        ours.setLevel(levels[1])
    assert [line.rpartition(" ")[2] for line in written.read_text().splitlines()] == ["one", "two"]


async def shown(port: int) -> bytes:
    """The certificate that a client gets to see."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    seen: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return seen


async def test_who_connects_after_a_renewal_sees_the_new_certificate(tmp_path: Path) -> None:
    tls = ensure(tmp_path, ["one.example.org"])
    file = tmp_path / "copilot-fileserver.conf"
    file.write_text(
        f"JM_FILES_DIR {tmp_path}\nJM_FILES_URL https://localhost:1/\nJM_FILES_CERT_FILE {tls.cert_file}\nJM_FILES_KEY_FILE {tls.key_file}\n"
    )
    config = load(FileServerConfig, file, {})[0]
    certificate = ServerCertificate(config, "files_cert_file", "files_key_file")
    certificate.renew(config)()  # nobody listens yet
    server = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=certificate.open()
    )
    async with server:
        port = server.sockets[0].getsockname()[1]
        old = await shown(port)
        ensure(tmp_path, ["two.example.org"])
        assert await shown(port) == old
        certificate.renew(config)()
        new = await shown(port)
        assert new != old

        tls.key_file.write_text("none")
        with pytest.raises(
            ConfigError, match=f"JM_FILES_CERT_FILE: {tls.cert_file} or its key cannot be used"
        ):
            certificate.renew(config)
        with pytest.raises(ConfigError, match="restart it for that"):
            certificate.renew(replace(config, files_cert_file=None, files_key_file=None))
        assert await shown(port) == new
