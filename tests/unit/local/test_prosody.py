"""What a private Prosody refuses before it writes anything. The rest is tested with the real one."""

from pathlib import Path

import pytest

from copilot.errors import BadName, ConfigError, CopilotError, ServerMissing
from copilot.local import provision
from copilot.local.prosody import Prosody, _lua
from copilot.local.redis import Redis


@pytest.mark.parametrize("domain", ["", "Copilot", "a..b", "-a", "a b", 'a"b', "../etc", "a\n", "x" * 254])
def test_a_domain_that_is_no_host_name_is_refused(tmp_path: Path, domain: str) -> None:
    with pytest.raises(ConfigError, match="XMPP domain"):
        Prosody(tmp_path, domain=domain)


@pytest.mark.parametrize("localpart", ["", "../x", "a/b", "a@b", ".a", "Agent", "a b", "a\n", "*", "x" * 64])
async def test_an_account_name_that_must_not_reach_a_path_is_refused(
    open_directory: Path, localpart: str
) -> None:
    server = Prosody(open_directory)
    with pytest.raises(BadName, match="Account name"):
        await server.register(localpart, "password")
    with pytest.raises(BadName, match="Account name"):
        await server.remove(localpart)


@pytest.mark.parametrize("password", ["", "a\nb", "pässword", "a\0"])
async def test_a_password_that_saslprep_would_change_is_refused_and_not_shown(
    open_directory: Path, password: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        await Prosody(open_directory).register("agent", password)
    assert not password or password not in str(caught.value)


def test_text_for_lua_cannot_leave_its_string() -> None:
    assert _lua('a"b\\c\nd') == r'"a\034b\092c\010d"'


@pytest.mark.parametrize("server", [Prosody, Redis])
async def test_without_the_program_the_way_to_get_it_is_told(
    open_directory: Path, server: type[Prosody | Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provision, "_candidates", lambda _: iter(()))
    with pytest.raises(ServerMissing, match=r"copilot\.local\.provision"):
        await server(open_directory).start()


@pytest.mark.parametrize("server", [Prosody, Redis])
async def test_only_who_started_a_server_can_wait_for_it(
    open_directory: Path, server: type[Prosody | Redis]
) -> None:
    with pytest.raises(CopilotError, match="not started by this object"):
        await server(open_directory).wait()
