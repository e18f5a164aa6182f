"""What a private ejabberd refuses before it writes anything. The rest is tested with the real one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from copilot.errors import BadName, ConfigError, CopilotError, ServerMissing
from copilot.local import provision
from copilot.local.ejabberd import Ejabberd, _filled
from copilot.local.provision import Installed


def test_a_domain_that_is_no_host_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="XMPP domain"):
        Ejabberd(tmp_path, domain="a b")


async def test_a_name_or_password_that_no_server_may_get_is_refused(tmp_path: Path) -> None:
    server = Ejabberd(tmp_path)
    with pytest.raises(BadName, match="Account name"):
        await server.register("../x", "password")
    with pytest.raises(BadName, match="Account name"):
        await server.remove("a@b")
    with pytest.raises(ConfigError, match="password") as caught:
        await server.register("agent", "pässword")
    assert "pässword" not in str(caught.value)


async def test_accounts_of_a_server_that_does_not_run_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(CopilotError, match=r"It has to run: call start\(\)"):
        await Ejabberd(tmp_path).register("agent", "password")


async def test_without_the_program_the_way_to_get_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provision, "_candidates", lambda _: iter(()))
    with pytest.raises(ServerMissing, match=r"copilot\.local\.provision ejabberd"):
        await Ejabberd(tmp_path).start()


async def test_a_tree_that_is_laid_out_otherwise_is_named(
    open_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Installed(program=open_directory / "ejabberdctl", root=open_directory)
    monkeypatch.setattr(provision, "require", lambda _: other)
    with pytest.raises(ServerMissing, match=r"nothing like .*erlexec"):
        await Ejabberd(open_directory / "e").start()


async def test_a_directory_too_deep_for_a_unix_socket_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    with pytest.raises(ConfigError, match="107"):
        Ejabberd(deep)._make_directories()
    assert not deep.exists()


async def test_only_who_started_it_can_wait_for_it(tmp_path: Path) -> None:
    with pytest.raises(CopilotError, match="not started by this object"):
        await Ejabberd(tmp_path).wait()


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\nb: c", "é", "- x #"])
def test_no_value_can_leave_its_place_in_the_configuration(value: str) -> None:
    text = _filled("ejabberd-accounts.yml", socket=value)
    (line,) = [line for line in text.splitlines() if "port:" in line]
    assert json.loads(line.partition(": ")[2]) == value


def test_its_program_is_found_though_it_is_called_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ejabberdctl"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert next(provision._candidates("ejabberd")).program == program
