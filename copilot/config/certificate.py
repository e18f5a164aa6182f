"""A certificate in a form that fits a setting: base64 of its DER form in one line, which `kinds.CERTIFICATE` reads."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path

from copilot.errors import ConfigError

_PEM = "-----BEGIN CERTIFICATE-----"


def certificate_line(file: Path) -> str:
    """That of a PEM file with one certificate. Raises `ConfigError`."""
    try:
        text = file.read_text()
        if text.count(_PEM) != 1:
            raise ConfigError(
                f"{file}: expected one certificate, found {text.count(_PEM)}: a setting carries that of one authority"
            )
        return base64.b64encode(ssl.PEM_cert_to_DER_cert(text[text.index(_PEM) :].strip())).decode("ascii")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: the certificate cannot be read: {error}") from error
