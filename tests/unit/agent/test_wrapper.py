"""The text of the script: which names reach the shell, and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from copilot.agent.wrapper import SCRIPT, Wrapper, package_name
from copilot.errors import BadName

HERE = Path("/work dir/jobs/j.a1")


def wrapper(command: str = "job.sh", **fields: object) -> Wrapper:
    return Wrapper(
        directory=HERE / "wrapper",
        payload=HERE / "payload",
        shell="/bin/sh",
        command=command,
        package_tool=("alienv", "print"),
        **fields,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("VO_ALICE@AliRoot::v5-03-Rev-01", "AliRoot/v5-03-Rev-01"),
        ("ROOT/5.34", "ROOT/5.34"),
        ("gcc", "gcc"),
        ("g++::4.9", "g++/4.9"),
    ],
)
def test_a_package_gets_the_name_that_its_tool_knows(package: str, name: str) -> None:
    assert package_name(package) == name


@pytest.mark.parametrize(
    "package",
    [
        "",
        "a b",
        "$(id)",
        "a;b",
        "-rf",
        "a/-rf",
        "../a",
        "a/b/c",
        "VO_@a",
        "a::",
        "::b",
        "a\n",
        "é",
        "a/../b",
        ".a",
    ],
)
def test_other_packages_never_reach_the_shell(package: str) -> None:
    with pytest.raises(BadName, match="expected Name"):
        wrapper(packages=(package,)).files()


@pytest.mark.parametrize("command", ["../job.sh", "/bin/sh", "", "a\nb", "a//b"])
def test_commands_outside_the_payload_are_refused(command: str) -> None:
    with pytest.raises(BadName, match="relative name"):
        wrapper(command).files()


def test_a_command_is_one_word_for_the_shell_whatever_it_contains() -> None:
    files = wrapper("a b;'c'", arguments="x y").files()
    assert files["command.sh"] == """exec './a b;'"'"'c'"'"'' x y\n"""
    assert "cd '/work dir/jobs/j.a1/payload'" in files[SCRIPT]


def test_the_jobs_own_text_is_never_in_the_script_itself() -> None:
    files = wrapper(environment="ENVIRONMENT 'text", arguments="ARGUMENT 'text").files()
    assert "ENVIRONMENT" not in files[SCRIPT]
    assert "ARGUMENT" not in files[SCRIPT]
    assert files["environment.sh"] == "ENVIRONMENT 'text\n"


def test_without_environment_and_packages_no_shell_is_spent_on_them() -> None:
    script = wrapper().files()[SCRIPT]
    assert "environment.sh" not in script
    assert "alienv" not in script
