"""SIGHUP to real programs: they read their configuration again, and go on. Their log files are rotated."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import psutil

from copilot.errors import ServerMissing
from copilot.local.process import give, unprivileged_user
from copilot.local.provision import ensure
from tests.acceptance.running import Up, script, until

TAKEN = "The configuration was read again. Taken over: {}."
LOGGER = """\
dispatchers = file
file.class = Log::Dispatch::File
file.min_level = info
file.filename = {}
"""
ROTATION = Path(__file__).parents[2] / "etc" / "logrotate" / "copilot"


class Program:
    """One component of a system that runs, and the file with its settings."""

    def __init__(self, up: Up, parent: int, command: str, log: Path, settings: Path) -> None:
        self.log = up.directory / "log" / log
        self.settings, self._begun = settings, settings.read_text()
        (self.process,) = [
            one
            for one in psutil.Process(parent).children()
            if any(word.endswith(f"/{command}") for word in one.cmdline())
        ]

    def write(self, text: str) -> None:
        """These lines, behind those of the beginning."""
        self.settings.write_text(self._begun + text)

    def reload(self, expected: str) -> str:
        """What it says when it is told to, as soon as that has `expected` in it."""
        before = self._log()
        self.process.send_signal(signal.SIGHUP)
        until(lambda: expected in self._log().removeprefix(before), f"{expected}, behind\n{before}")
        return self._log().removeprefix(before)

    def _log(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


def rotate(logs: Path, place: Path) -> None:
    """As logrotate does it by our file; where there is none, by hand."""
    try:
        (tool,) = ensure("logrotate")
    except ServerMissing:
        (logs / "agent.log").rename(logs / "agent.log.1")
        return
    text = ROTATION.read_text().replace("/var/log/", f"{place}/")  # nothing of this machine
    text = "\n".join(line for line in text.splitlines() if not line.strip().startswith("su "))
    configuration = place / "logrotate.conf"
    configuration.write_text(text)
    configuration.chmod(0o644)
    done = subprocess.run(
        [tool.program, "--force", "--state", place / "logrotate.state", configuration],
        capture_output=True,
        text=True,
        check=False,
        env=tool.environment(),
    )
    assert done.returncode == 0, done.stderr


def test_programs_that_run_take_over_what_they_can_and_nothing_of_what_is_wrong(up: Up, place: Path) -> None:
    logs = place / "copilot-agent"
    logs.mkdir(mode=0o755)
    give(logs, unprivileged_user())
    logger = place / "logger.conf"
    logger.write_text(LOGGER.format(logs / "agent.log"))
    with up.running() as system:
        agent = Program(
            up, system.pid, "copilot-agent", Path("agent-1.log"), up.directory / "agents" / "agent-1.conf"
        )
        manager = Program(
            up,
            system.pid,
            "copilot-jobmanager-generic",
            Path("jobmanager.log"),
            up.etc / "copilot-jobmanager-generic.conf",
        )
        job = script(place / "job.sh", "true")
        asked = up.submit(job, "--id", "blue", "--requirements", 'member("blue", other.Tags)')
        assert asked.returncode == 0, asked.stderr

        manager.write("HB_ALLOW boss@example.org\nJM_DISPATCH_LIMIT 30s\nJM_LEASE 5m\n")
        said = manager.reload(TAKEN.format("HB_ALLOW, JM_DISPATCH_LIMIT"))
        assert "A restart is needed for: JM_LEASE." in said
        manager.write("HB_ALLOW nobody@example.org\nJM_DISPATCH_LIMIT never\n")
        said = manager.reload("The configuration was not taken over, nothing has changed")
        assert f"{manager.settings}:3: JM_DISPATCH_LIMIT: " in said

        agent.write(f"AGENT_TAGS blue\nAGENT_LOGGER_CONFIG_FILE {logger}\n")
        agent.log = logs / "agent.log"
        agent.reload(TAKEN.format("AGENT_LOGGER_CONFIG_FILE, AGENT_TAGS"))
        until(lambda: up.record("blue").state.final, "the agent has the tag")
        rotate(logs, place)
        until((logs / "agent.log.1").exists, "the old file")
        assert "No setting was taken over" in agent.reload("The configuration was read again.")
        assert TAKEN.format("AGENT_LOGGER_CONFIG_FILE, AGENT_TAGS") in (logs / "agent.log.1").read_text()
        logger.write_text("dispatchers = nowhere\n")
        assert f"{logger}" in agent.reload("nothing has changed")
        assert agent.process.is_running()
        assert manager.process.is_running()
