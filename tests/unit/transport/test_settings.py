"""Settings that cannot work or are not safe are refused when they are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from copilot.errors import ConfigError
from copilot.transport.settings import XmppSettings, tls_context, trusting_anew
from copilot.transport.xmpp import XmppTransport

PASSWORD = "correct horse"


def settings(**changes: Any) -> XmppSettings:
    return XmppSettings(**({"jid": "a@site.org", "password": PASSWORD} | changes))


def test_the_password_is_never_shown() -> None:
    assert PASSWORD not in repr(settings())


@pytest.mark.parametrize(
    "jid", ["", "site.org", "a@", "@site.org", "a@site.org/r", "a b@site.org", "a@b@c", "a@'x"]
)
def test_a_jid_that_is_not_bare_is_refused(jid: str) -> None:
    with pytest.raises(ConfigError, match="expected name@domain"):
        settings(jid=jid)


def test_an_empty_password_is_refused() -> None:
    with pytest.raises(ConfigError, match="no password"):
        settings(password="")


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(ConfigError, match="5222"):
        settings(port=port)


def test_tls_is_required_or_off() -> None:
    with pytest.raises(ConfigError, match="expected required or off"):
        settings(tls="maybe")


@pytest.mark.parametrize("host", ["", "site.org", "192.0.2.1", "0.0.0.0", "127.0.0.1.evil.org"])
def test_plain_text_is_refused_but_on_this_machine(host: str) -> None:
    with pytest.raises(ConfigError, match="Set tls to required"):
        settings(tls="off", host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
def test_plain_text_is_allowed_on_this_machine(host: str) -> None:
    assert settings(tls="off", host=host).address == f"{host}:5222"


def test_a_ca_file_that_is_missing_or_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for name in ("none.pem", "ca.pem"):
        with pytest.raises(ConfigError, match=name):
            XmppTransport(settings(ca_file=tmp_path / name))


def test_a_resource_that_xmpp_does_not_allow_is_refused() -> None:
    with pytest.raises(ConfigError, match="resource"):
        XmppTransport(settings(resource="a\0b"))


def test_sessions_share_one_tls_context() -> None:
    context = tls_context(None)
    assert context is tls_context(None)


def test_sessions_that_begin_after_a_reload_trust_what_is_in_the_file_then(tmp_path: Path) -> None:
    context = tls_context(None)
    (tmp_path / "ca.pem").write_text("none")
    with pytest.raises(ConfigError, match=r"ca\.pem cannot be used"):
        trusting_anew(tmp_path / "ca.pem")
    assert context is tls_context(None)
    trusting_anew(None)()
    assert context is not tls_context(None)
    assert context.check_hostname
