"""`copilot keys`: what operators do with key files. No private key is ever shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from copilot.cli.keys import app
from copilot.errors import BadName, ConfigError
from copilot.protocol.crypto.keys import PrivateKeys, kid, private_text, read_public
from copilot.runtime.keys import load_keys
from tests.unit.protocol.crypto.vectors import key

NEW, OLD = kid(key("jm").public_key()), kid(key("km").public_key())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "service.key"
    path.write_text(private_text(PrivateKeys((key("jm"), key("km")))))
    path.chmod(0o600)
    return path


def said(*arguments: object, answer: str = "", exit_code: int = 0) -> tuple[str, str]:
    """stdout and stderr; an error is raised as it is, as `copilot` itself gets it."""
    result = CliRunner().invoke(app, [str(one) for one in arguments], input=answer)
    if isinstance(result.exception, Exception) and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == exit_code, result.output
    assert "PRIVATE" not in result.output
    return result.stdout, result.stderr


def told(*arguments: object) -> Any:
    return json.loads(said(*arguments, "--json")[0])


@pytest.mark.parametrize(
    ("component", "kinds"),
    [("service", ["RSA-3072", "Ed25519"]), ("agent", ["Ed25519"]), ("v1", ["RSA-3072"])],
)
def test_the_keys_of_a_component_are_made_for_its_user_alone(
    component: str, kinds: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "new.key"
    made = told("generate", component, path)
    assert [one["kind"] for one in made["keys"]] == kinds
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match="nothing was written"):
        said("generate", component, path)
    assert told("show", path)["keys"] == made["keys"]


def test_what_is_shown_for_jids_is_a_file_of_public_keys(file: Path, tmp_path: Path) -> None:
    text, _ = said("show", file, "--jid", "jm@example.org", "--jid", "jm@example.org/one")
    assert read_public(text).keys() == {"jm@example.org", "jm@example.org/one"}
    public = tmp_path / "public"
    public.write_text(text)
    assert [one["kid"] for one in told("show", public)["jm@example.org/one"]] == [NEW, OLD]
    lines = said("show", public)[0].splitlines()
    assert lines[0] == "jm@example.org"
    assert lines[1].startswith(f"  {NEW}  RSA-2048  opens  SHA256:{NEW}")
    with pytest.raises(BadName, match="expected a Jabber ID"):
        said("show", file, "--jid", "nobody")
    with pytest.raises(ConfigError, match="cannot be read"):
        said("show", tmp_path / "none")


def test_a_new_key_stands_first_and_the_old_ones_stay(file: Path) -> None:
    kids = [one["kid"] for one in told("rotate", file)["keys"]]
    assert kids[1:] == [NEW, OLD]
    assert len(load_keys(file).opening) == 3


def test_the_key_of_an_agent_is_not_changed_here(tmp_path: Path) -> None:
    path = tmp_path / "agent.key"
    said("generate", "agent", path)
    with pytest.raises(ConfigError, match="join again"):
        said("rotate", path)


def test_old_keys_are_dropped_after_a_warning(file: Path, tmp_path: Path) -> None:
    public = tmp_path / "public"
    old = tmp_path / "old"
    old.write_text(private_text(PrivateKeys((key("km"),))))
    old.chmod(0o600)
    public.write_text(said("show", old, "--jid", "jm@example.org")[0])
    _, warnings = said("drop", file, "--public-keys-file", public, answer="n\n", exit_code=1)
    assert "locked out" in warnings
    assert (
        "programs that have this file of public keys use a key for jm@example.org that is to go" in warnings
    )
    assert len(load_keys(file).opening) == 2, "nobody said yes"
    assert told("drop", file, "--yes")["dropped"] == [OLD]
    assert [one["kid"] for one in told("show", file)["keys"]] == [NEW]
    assert said("drop", file, "--yes")[0].startswith(f"{file}: no old keys")


def test_the_last_of_its_kind_and_unknown_ones_are_not_dropped(file: Path) -> None:
    with pytest.raises(ConfigError, match="rotate"):
        said("drop", file, NEW, "--yes")
    with pytest.raises(ConfigError, match="has no key 'abc'"):
        said("drop", file, "abc", "--yes")
    assert len(load_keys(file).opening) == 2
