"""Names and passwords that both private XMPP servers take, so that neither can leave its file or its syntax."""

from __future__ import annotations

import re

from copilot.errors import BadName, ConfigError

HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
LOCALPART = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
PASSWORD = re.compile(r"[\x20-\x7e]{1,1023}")  # where SASLprep (RFC 4013) changes nothing


def checked_domain(domain: str) -> str:
    """`domain`, if it is a host name in lower case. Raises ConfigError."""
    if not HOST_NAME.fullmatch(domain):
        raise ConfigError(
            f"XMPP domain {domain!r}: expected a host name in lower case, such as copilot.internal"
        )
    return domain


def checked_name(localpart: str) -> str:
    """`localpart`, if it may be an account's name here. Raises BadName."""
    if not LOCALPART.fullmatch(localpart):
        raise BadName(
            f"Account name {localpart!r}: expected 1 to 63 of a-z, 0-9, '.', '_' and '-', a letter or digit first"
        )
    return localpart


def checked_password(localpart: str, password: str) -> str:
    """`password`, if every client makes the same of it. Raises ConfigError, which does not show it."""
    if not PASSWORD.fullmatch(password):
        raise ConfigError(f"The password for {localpart!r} must be 1 to 1023 printable ASCII characters.")
    return password
