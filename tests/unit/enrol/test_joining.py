"""What an agent that comes in says, and what it keeps."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from copilot.enrol.bundle import BundleFile, bundle_text, read_bundle
from copilot.enrol.credentials import belongs_elsewhere, configuration_text, write_private
from copilot.enrol.joining import INTERRUPTED, JOIN_WITHIN, SAY_AGAIN, Joining
from copilot.errors import ConfigError
from copilot.protocol.commands import Enrol, Enrolled, Error, Pong, SecurityError
from copilot.protocol.crypto.identity import account_password
from copilot.protocol.events import Received, Refused
from copilot.runtime.component import Leave, Offline, Online, Send, Stopping, Tick

KEY = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
BUNDLE = BundleFile(
    id="0123456789ab",
    account="bundle-0123456789ab@x",
    password="tmp-word",
    secret="the-secret",
    manager="jm@x",
    server="xmpp.x",
    port=5222,
    expires=1_900_000_000.0,
    public_keys="jm@x\n-----BEGIN…".replace("…", "..."),
    settings={
        "JM_JABBER_ADDRESS": "jm@x",
        "AGENT_JABBER_SERVER": "xmpp.x",
        "AGENT_JABBER_PORT": "5222",
        "AGENT_JABBER_DOMAIN": "x",
        "AGENT_SLOTS": "4",
        "AGENT_WORK_DIR": "/elsewhere",
    },
)
ENROL = Enrol(bundle=BUNDLE.id, secret="the-secret", key=KEY, password="pw")


def joining(now: float = 0.0) -> Joining:
    return Joining(BUNDLE, key=KEY, password="pw", now=now)


def heard(command: object) -> Received:
    return Received(
        command=command,
        sender="jm@x/one",
        id="m",
        features=frozenset(),
        element=True,
        wants_ack=True,  # type: ignore[arg-type]
    )


def test_it_says_it_once_it_is_online_and_again_and_gives_up() -> None:
    one = joining()
    assert one.wakeup() == JOIN_WITHIN
    assert one.handle(Online(jid="b@x/r"), 1.0) == [Send(to="jm@x", command=ENROL)]
    assert one.wakeup() == 1.0 + SAY_AGAIN
    assert one.handle(Tick(), 1.0 + SAY_AGAIN) == [Send(to="jm@x", command=ENROL)]
    assert one.handle(Offline(reason="cut"), 20.0) == []
    assert one.handle(Tick(), JOIN_WITHIN) == [Leave()]
    assert (one.jid, one.refused) == (None, None)


def test_it_leaves_with_the_answer() -> None:
    one = joining()
    assert one.handle(heard(Pong()), 1.0) == []
    assert one.handle(heard(Enrolled(jid="agent-1@x")), 1.0) == [Leave()]
    assert one.jid == "agent-1@x"


@pytest.mark.parametrize(
    "event",
    [
        heard(SecurityError(error_string="no")),
        Refused(id="m", to="jm@x", command=ENROL, error=Error(error_string="no", code="bundle-expired")),
    ],
)
def test_it_leaves_with_a_refusal(event: Received | Refused) -> None:
    one = joining()
    assert one.handle(event, 1.0) == [Leave()]
    assert one.refused is not None
    assert one.refused.error_string == "no"


def test_it_can_be_interrupted() -> None:
    one = joining()
    assert one.handle(Stopping(), 1.0) == [Leave(exit_code=INTERRUPTED)]
    assert one.interrupted


def test_it_believes_the_manager_of_its_bundle_alone() -> None:
    assert joining().trusts("jm@x")
    assert not joining().trusts("jm@y")


def test_no_secret_is_shown() -> None:
    for shown in (repr(BUNDLE), repr(ENROL)):
        assert "the-secret" not in shown
        assert "tmp-word" not in shown
        assert "pw" not in shown


def test_a_bundle_reads_back_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "b.conf"
    file.write_text(bundle_text(BUNDLE, 3))
    assert read_bundle(file) == BUNDLE
    assert "# Lets 3 agents in at jm@x, until 2030-03-17T17:46:40Z" in file.read_text()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda text: "", "this is no bundle"),
        (lambda text: text.replace("BUNDLE_ID", "BUNDLE_NO"), "this is no bundle"),
        (lambda text: text.replace("BUNDLE_SECRET the-secret\n", ""), "BUNDLE_SECRET: missing"),
        (lambda text: text.replace("the-secret", "the-séc-ret"), "BUNDLE_SECRET: expected printable"),
        (
            lambda text: text.replace("AGENT_JABBER_PORT 5222", "AGENT_JABBER_PORT x"),
            "AGENT_JABBER_PORT: expected",
        ),
        (
            lambda text: text.replace("BUNDLE_EXPIRES 2030", "BUNDLE_EXPIRES x"),
            "BUNDLE_EXPIRES: expected a time",
        ),
        (
            lambda text: text.replace("BUNDLE_PUBLIC_KEYS ", "BUNDLE_PUBLIC_KEYS !"),
            "BUNDLE_PUBLIC_KEYS: expected",
        ),
        (lambda text: text + "#" * 300_000, "more than"),
        (lambda text: text + "=\n", "this is no bundle"),
    ],
)
def test_what_is_no_bundle_is_told_by_its_key_and_never_by_a_value(
    tmp_path: Path, change: object, complaint: str
) -> None:
    file = tmp_path / "b.conf"
    file.write_text(change(bundle_text(BUNDLE, 3)))  # type: ignore[operator]
    with pytest.raises(ConfigError, match=complaint) as error:
        read_bundle(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)
    assert "the-s" not in str(error.value)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_bundle(tmp_path / "none")


def test_who_the_agent_is_comes_from_no_bundle(tmp_path: Path) -> None:
    text = configuration_text(BUNDLE, tmp_path, "agent-1@y", "secret", BUNDLE.settings)
    lines = dict(line.split(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines["AGENT_WORK_DIR"] == str(tmp_path)
    assert (lines["AGENT_JABBER_ID"], lines["AGENT_JABBER_DOMAIN"]) == ("agent-1", "y")
    assert (lines["AGENT_JABBER_PASSWORD"], lines["AGENT_SLOTS"]) == ("secret", "4")
    assert not any(key.startswith("BUNDLE_") for key in lines)


def test_credentials_are_for_their_owner_and_know_their_service(tmp_path: Path) -> None:
    file = tmp_path / "agent.conf"
    file.touch(mode=0o644)
    write_private(file, configuration_text(BUNDLE, tmp_path, "agent-1@x", "secret", BUNDLE.settings))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert belongs_elsewhere(file, BUNDLE) is None
    write_private(file, "JM_JABBER_ADDRESS jm@y\n")
    assert belongs_elsewhere(file, BUNDLE) == "jm@y"
    with pytest.raises(ConfigError, match="cannot be written"):
        write_private(tmp_path / "none" / "x", "")


def test_the_password_follows_from_key_and_domain_alone() -> None:
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    words = [account_password(one, domain) for one in (key, other) for domain in ("x", "y")]
    assert len(set(words)) == 4
    assert account_password(key, "x") == words[0]
    assert all(len(word) == 32 and word.isascii() for word in words)
