"""Accounts of people: made whole or not at all, and files that hold what their owners need."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from copilot.cli.users import common_settings
from copilot.client.config import SubmitterConfig
from copilot.client.users import bring_in, configuration, new_user, people, revoke
from copilot.config import load
from copilot.errors import BadName, UserNotMade
from copilot.protocol.crypto.keys import read_private
from copilot.roles import Account, Standing
from copilot.runtime.keys import new_key_file
from copilot.store.memory import MemoryStore
from tests.sealing import service
from tests.unit.cli.test_securing import manager_config

JID = "ada@x"


async def carried_out(store: MemoryStore, refused: str = "") -> str | None:
    """What a manager does with the next errand; the password of the account."""
    while not (errands := await store.errands()):
        await asyncio.sleep(0)
    (errand,) = errands
    if refused:
        await store.tried_errand(errand, refused, again=60.0)
    else:
        await store.done_errand(errand)
    return errand.password


async def test_a_user_counts_with_key_password_and_projects_when_the_server_has_the_account() -> None:
    store, user = MemoryStore(), new_user(JID, Standing.SUBMITTER, frozenset({"atlas"}), None)
    _, password = await asyncio.gather(bring_in(store, user, limit=10), carried_out(store))
    account = await store.account(JID)
    assert account
    assert (account.standing, account.projects, password) == (
        Standing.SUBMITTER,
        {"atlas"},
        user.password,
    )
    (key,) = read_private(user.key).public.signing
    assert base64.b64decode(account.key) == key.public_bytes_raw()
    assert user.password not in repr(user)
    assert "PRIVATE" not in repr(user)


async def test_what_cannot_be_made_is_taken_back_with_the_reason() -> None:
    store, user = MemoryStore(), new_user(JID, Standing.ADMIN, frozenset(), None)
    with pytest.raises(UserNotMade, match="ada@x was not made: no admin"):
        await asyncio.gather(bring_in(store, user, limit=10), carried_out(store, "no admin"))
    with pytest.raises(UserNotMade, match="no job manager has made its account within 0 s"):
        await bring_in(store, user, limit=0)
    account = await store.account(JID)
    assert account
    assert account.revoked


async def test_a_name_is_given_once_and_again_when_it_was_revoked() -> None:
    store, user = MemoryStore(), new_user(JID, Standing.SUBMITTER, frozenset(), None)
    await asyncio.gather(bring_in(store, user, limit=10), carried_out(store))
    with pytest.raises(BadName, match="is there already, as submitter"):
        await bring_in(store, user, limit=10)
    assert [await revoke(store, JID) for _ in range(2)] == [True, False]
    await asyncio.gather(bring_in(store, user, limit=10), carried_out(store))
    assert [one.revoked for one in await people(store)] == [False]


async def test_agents_are_no_users() -> None:
    store = MemoryStore()
    await store.put_account(Account(jid="agent@x", standing=Standing.AGENT))
    assert await people(store) == []
    for jid in ("agent@x", "nobody@x"):
        with pytest.raises(BadName, match="is no user"):
            await revoke(store, jid)


@pytest.mark.parametrize(("jid", "projects"), [("a da@x", ()), ("ada", ()), (JID, ("../up",))])
def test_what_cannot_be_a_user_is_refused(jid: str, projects: tuple[str, ...]) -> None:
    with pytest.raises(BadName):
        new_user(jid, Standing.SUBMITTER, frozenset(projects), None)


def test_the_file_is_a_configuration_that_is_complete(tmp_path: Path) -> None:
    user = new_user(JID, Standing.SUBMITTER, frozenset(), None)
    common = {"JM_JABBER_ADDRESS": "jm@x", "SUBMIT_JABBER_SERVER": "xmpp.x", "SUBMIT_JABBER_PORT": "5223"}
    file = tmp_path / "ada.conf"
    file.write_text(configuration(user, common))
    file.chmod(0o600)
    config, warnings = load(SubmitterConfig, file, {})
    assert not warnings
    assert (config.jid, config.jabber_password, config.jabber_port) == (JID, user.password, 5223)
    assert config.own_key
    assert base64.b64decode(config.own_key).decode() == user.key


@pytest.mark.parametrize("suites", ["v2", "v1"])
def test_who_has_a_key_is_told_to_speak_sealed_and_others_have_none(tmp_path: Path, suites: str) -> None:
    """A key on record means that nothing in clear is heard in that name."""
    values = {"JM_SECURE_SUITES": suites}
    assert common_settings(manager_config(tmp_path, **values))["SUBMIT_SECURE_MODE"] == ""
    new_key_file(tmp_path / "jm.key", service())
    common = common_settings(manager_config(tmp_path, **values))
    assert (common["SUBMIT_SECURE_MODE"], bool(common["SUBMIT_SERVICE_KEYS"])) == (
        ("1", True) if suites == "v2" else ("", False)
    )
    plain = new_user(JID, Standing.SUBMITTER, frozenset(), None, signs=False)
    assert (plain.account.key, plain.key) == ("", "")
    assert "SUBMIT_OWN_KEY" not in configuration(plain, common)
