"""`copilot-fileserver`: serves the file area over HTTP(S), to whom the managers gave a signed URL."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

from copilot.cli import daemon
from copilot.cli.certificates import ServerCertificate
from copilot.cli.directories import make_directory
from copilot.cli.metrics import showing_metrics
from copilot.cli.reloading import Reloading, on_hangup
from copilot.clock import SystemClock
from copilot.errors import ConfigError
from copilot.files.area import FileArea
from copilot.files.server import FileServer
from copilot.files.signing import Verifier
from copilot.jobmanager.config import FileServerConfig
from copilot.runtime.secret import load_secrets
from copilot.runtime.signals import on_stop
from copilot.runtime.systemd import READY, Supervisor

log = logging.getLogger("copilot.files")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    what = "Serves input files and takes output, to whom the managers gave a signed URL."
    return daemon.main(FileServerConfig, what, run, arguments)


async def run(config: FileServerConfig, reloading: Reloading[FileServerConfig]) -> int:
    """Serve until asked to stop."""
    assert config.files_dir is not None  # the settings' own rules see to it
    clock = SystemClock()
    for directory in (config.state_dir, config.files_dir):
        make_directory(directory)
    server = FileServer(
        FileArea(config.files_dir),
        Verifier(load_secrets(config.secret_file, clock.wall())),
        clock=clock,
        done=config.done_job_dir,
        prefix=urlsplit(config.files_url or "").path,
        most=config.files_connections,
    )
    host, port = config.files_listen
    certificate = ServerCertificate(config, "files_cert_file", "files_key_file")
    reloading.on("files_cert_file", "files_key_file", prepare=certificate.renew)
    reloading.complete()
    try:
        port = await server.start(host, port, certificate.open())
    except OSError as error:
        raise ConfigError(
            f"{config.key('files_listen')}: cannot listen on {host}:{port}: {error.strerror}"
        ) from error
    log.info("Serving %s on %s:%d.", config.files_dir, host, port)
    asked, supervisor = asyncio.Event(), Supervisor()
    directories = {"state": config.state_dir, "files": config.files_dir}
    metrics = showing_metrics(config, server.counts, directories=directories, field="files_metrics_listen")
    try:
        with on_stop(asked.set), on_hangup(lambda: reloading.reload_and_log(supervisor)):
            async with supervisor.watching(), metrics:
                supervisor.tell(READY)
                await asked.wait()
    finally:
        await server.stop()
    return 0
