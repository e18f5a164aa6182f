"""A private Graphite, as an operator would set it up with our files in etc/graphite, but with a precision of one second."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from copilot.local.ports import listens, remembered_port
from copilot.local.process import Child
from tests.carbon.environment import OLDER, require
from tests.patience import PATIENCE_S

ETC = Path(__file__).parents[2] / "etc" / "graphite"
HERE = Path(__file__).parent
LOOPBACK = "127.0.0.1"
START_LIMIT_S = PATIENCE_S
CONFIGURATION = """\
[cache]
STORAGE_DIR = {here}
LOCAL_DATA_DIR = {here}/whisper
CONF_DIR = {here}/conf
LOG_DIR = {here}/log
PID_DIR = {here}
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = {line}
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = {pickle}
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = {query}
MAX_UPDATES_PER_SECOND = inf
MAX_CREATES_PER_MINUTE = inf
ENABLE_LOGROTATION = False
CARBON_METRIC_INTERVAL = 0

[aggregator]
LOG_DIR = {here}/log
PID_DIR = {here}
CONF_DIR = {here}/conf
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = {aggregator}
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = {unused}
DESTINATIONS = 127.0.0.1:{pickle}
FORWARD_ALL = True
RELAY_METHOD = consistent-hashing
REPLICATION_FACTOR = 1
MAX_QUEUE_SIZE = 10000
MAX_DATAPOINTS_PER_MESSAGE = 500
MAX_AGGREGATION_INTERVALS = 5
CARBON_METRIC_INTERVAL = 0
"""
WEB = """\
SECRET_KEY = "of this test"
STORAGE_DIR = LOG_DIR = {here!r}
CONF_DIR = {here!r} + "/conf"
WHISPER_DIR = {here!r} + "/whisper"
STANDARD_DIRS = [WHISPER_DIR]
CARBONLINK_HOSTS = ["127.0.0.1:{query}"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": {here!r} + "/web.db"}}}}
ALLOWED_HOSTS = ["127.0.0.1"]
"""


class Graphite:
    """Carbon's cache, its aggregator and graphite-web in one directory; each is started and stopped by itself."""

    def __init__(self, directory: Path) -> None:
        self._python = require()
        self._directory = directory / "graphite"
        (self._directory / "conf").mkdir(parents=True)
        (self._directory / "log").mkdir()
        (self._directory / "whisper").mkdir()
        self._children: dict[str, Child] = {}
        self._configure()

    def port(self, name: str) -> int:
        """Of `line` (the cache), `aggregator` or `web`; stays the same."""
        return remembered_port(self._directory / f"{name}.port", LOOPBACK, 0)

    async def start_cache(self) -> None:
        """Return when it takes lines."""
        await self._start("cache", "line", *self._carbon("cache"))

    async def start_aggregator(self) -> None:
        """The same, and it passes on what it gets once the cache is there."""
        await self._start("aggregator", "aggregator", *self._carbon("aggregator"))

    async def start_web(self) -> None:
        """Return when `render` can be asked."""
        await self._start("web", "web", HERE / "web.py", LOOPBACK, str(self.port("web")))

    async def stop(self, *names: str) -> None:
        """TERM, on which Carbon writes what it has in memory. Without names: all."""
        for name in names or tuple(self._children):
            if child := self._children.pop(name, None):
                await child.stop()

    async def kill(self, name: str) -> None:
        """KILL: what it has in memory and in its sockets is lost."""
        child = self._children.pop(name)
        psutil.Process(child.pid).kill()
        await child.wait()

    def freeze(self, name: str) -> None:
        """It reads nothing more, and its machine still answers."""
        psutil.Process(self._children[name].pid).send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        psutil.Process(self._children[name].pid).send_signal(signal.SIGCONT)

    def points(self) -> dict[str, dict[int, float]]:
        """What Whisper has: path → time → value."""
        argv = [self._python, HERE / "points.py", self._directory / "whisper"]
        done = subprocess.run(argv, capture_output=True, check=True, timeout=START_LIMIT_S)
        return {path: dict(points) for path, points in json.loads(done.stdout).items()}

    def render(self, target: str, since: int) -> dict[str, dict[int, float]]:
        """What graphite-web's render API answers, in the same form."""
        query = urllib.parse.urlencode({"target": target, "from": since, "format": "json", "noCache": 1})
        url = f"http://{LOOPBACK}:{self.port('web')}/render?{query}"
        with urllib.request.urlopen(url, timeout=START_LIMIT_S) as answer:
            series: list[dict[str, Any]] = json.load(answer)
        return {
            one["target"]: {time: value for value, time in one["datapoints"] if value is not None}
            for one in series
        }

    def _carbon(self, which: str) -> list[Path | str]:
        program = self._python.with_name(f"carbon-{which}.py")
        return [program, f"--config={self._directory}/conf/carbon.conf", "--debug", "start"]

    async def _start(self, name: str, port: str, *argv: Path | str) -> None:
        log = self._directory / f"{name}.log"
        child = await Child.start(
            [self._python, *argv],
            log=log,
            user=None,
            env={
                "PATH": "/usr/bin:/bin",
                "LANG": "C.UTF-8",
                "GRAPHITE_ROOT": str(self._directory),
                "PYTHONPATH": str(OLDER),
            },
            cwd=self._directory,
        )
        self._children[name] = child
        await child.wait_until(lambda: listens(child.pid, self.port(port)), limit_s=START_LIMIT_S)

    def _configure(self) -> None:
        here, conf = str(self._directory), self._directory / "conf"
        ports = {name: self.port(name) for name in ("line", "pickle", "query", "aggregator", "unused")}
        (conf / "carbon.conf").write_text(CONFIGURATION.format(here=here, **ports))
        (self._directory / "settings_of_the_test.py").write_text(WEB.format(here=here, **ports))
        for file in ETC.glob("*.conf"):
            text = re.sub(r"^retentions = .*$", "retentions = 1s:1h", file.read_text(), flags=re.MULTILINE)
            (conf / file.name).write_text(text.replace("(10)", "(1)"))
