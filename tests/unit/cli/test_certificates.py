"""The certificate of a server, renewed while it serves: who connects from then on sees the new one."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from copilot.cli.certificates import ServerCertificate
from copilot.errors import ConfigError
from copilot.local.certificates import ensure


def settings(place: Path) -> Any:
    """As much of the configuration as the certificate takes."""
    return SimpleNamespace(
        files_cert_file=place / "server.pem",
        files_key_file=place / "server.key",
        key=lambda name: name.upper(),
    )


async def seen(tls: ssl.SSLContext) -> bytes:
    """The certificate that a server with this context shows."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=tls)
    try:
        client = ssl.create_default_context()
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=client)
        shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return shown
    finally:
        server.close()


async def test_the_new_one_is_shown_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    ensure(tmp_path, ["one.example.org"])
    config = settings(tmp_path)
    certificate = ServerCertificate(config, "files_cert_file", "files_key_file")
    tls = certificate.open()
    assert tls is not None
    first = await seen(tls)
    certificate.renew(config)()
    assert await seen(tls) == first

    ensure(tmp_path, ["two.example.org"])  # other names make another one
    certificate.renew(config)()
    second = await seen(tls)
    assert second != first

    config.files_key_file.write_text("nothing of a key")
    with pytest.raises(ConfigError):
        certificate.renew(config)
    assert await seen(tls) == second


def test_tls_does_not_begin_by_a_reload(tmp_path: Path) -> None:
    ensure(tmp_path, ["one.example.org"])
    without = SimpleNamespace(files_cert_file=None, files_key_file=None, key=str.upper)
    certificate = ServerCertificate(cast("Any", without), "files_cert_file", "files_key_file")
    assert certificate.open() is None
    with pytest.raises(ConfigError, match="FILES_CERT_FILE: TLS cannot begin or end"):
        certificate.renew(settings(tmp_path))
