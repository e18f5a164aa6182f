"""The text of the script: which names reach the shell, and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from copilot.agent.wrapper import SCRIPT, Wrapper, package_name, plain_command
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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", []),
        ("  ", []),
        (
            "-v  --size=3 ./a/b.txt user@host:9 1,2 50% a+b",
            ["-v", "--size=3", "./a/b.txt", "user@host:9", "1,2", "50%", "a+b"],
        ),
    ],
)
def test_plain_arguments_need_no_shell(arguments: str, words: list[str]) -> None:
    assert plain_command("bin/job.sh", arguments, " \n", ()) == ["./bin/job.sh", *words]


@pytest.mark.parametrize(
    "arguments",
    ["'a b'", "$HOME", "~", "*.txt", "a;b", "a\nb", "a\tb", "a>b", "#", "{a,b}", "[ab]", "\u00e9"],
)
def test_what_a_shell_would_read_otherwise_goes_to_a_shell(arguments: str) -> None:
    assert plain_command("job.sh", arguments, "", ()) is None


def test_environment_and_packages_need_a_shell() -> None:
    assert plain_command("job.sh", "", "export A=1", ()) is None
    assert plain_command("job.sh", "", "", ("gcc",)) is None


def test_a_plain_command_stays_inside_its_directory() -> None:
    with pytest.raises(BadName):
        plain_command("../job.sh", "", "", ())
