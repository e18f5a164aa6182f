"""The certificate of an HTTP server of ours, which may be renewed while that runs."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from copilot.config import Settings
from copilot.errors import ConfigError


class ServerCertificate:
    """What two settings (fields of `config`) name: a certificate with its chain, and its key, both PEM."""

    def __init__(self, config: Settings, certificate: str, key: str) -> None:
        self._config = config
        self._certificate, self._key = certificate, key
        self._opened = False
        self._context: ssl.SSLContext | None = None

    def open(self) -> ssl.SSLContext | None:
        """For the server; None: no TLS. Raises `ConfigError` if the files cannot be used."""
        self._context = self._read(self._config)
        self._opened = True
        return self._context

    def renew(self, config: Settings) -> Callable[[], None]:
        """What gives connections that come from now on the certificate that is in the files now. Raises `ConfigError` if that cannot
        be used. Without a server, nothing is done."""
        if not self._opened:
            return lambda: None
        # Tried on another context: half a change would be none that works.
        if (self._read(config) is None) != (self._context is None):
            raise ConfigError(
                f"{config.key(self._certificate)}: TLS cannot begin or end while the program runs: restart it for that"
            )

        def put() -> None:
            path, key = self._paths(config)
            if self._context is not None and path is not None:
                self._context.load_cert_chain(path, key)

        return put

    def _paths(self, config: Settings) -> tuple[Path | None, Path | None]:
        return getattr(config, self._certificate), getattr(config, self._key)

    def _read(self, config: Settings) -> ssl.SSLContext | None:
        path, key = self._paths(config)
        if path is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(path, key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"{config.key(self._certificate)}: {path} or its key cannot be used: {error}"
            ) from error
        return context
