"""Each script comes behind what it uses of the shared files, and nothing else."""

from __future__ import annotations

import importlib.resources
import re

import pytest

from copilot.store.loader import SHARED, load

FOLDER = importlib.resources.files("copilot.store") / "scripts"
FILES = {
    file.name.removesuffix(".lua"): file.read_text("utf-8")
    for file in FOLDER.iterdir()
    if file.name.endswith(".lua")
}
SCRIPTS = sorted(FILES.keys() - set(SHARED))
FUNCTION = re.compile(r"^local function (\w+)", re.MULTILINE)


def parts(name: str) -> list[str]:
    """The shared files in front of a script, in their order; the rest must be the script."""
    text, found = load(name).text, []
    for part in SHARED:
        if text.startswith(FILES[part]):
            text = text.removeprefix(FILES[part])
            found.append(part)
    assert text == FILES[name]
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("confirm", ["prelude"]),
        ("publish", ["prelude"]),
        ("finish", ["prelude", "states", "usage", "queues", "moves", "trial"]),
        (
            "claim",
            ["prelude", "states", "queues", "controls", "trial", "matching", "claiming", "hosts", "accounts"],
        ),
    ],
)
def test_what_is_done_for_every_job_has_what_it_uses_and_no_more(name: str, expected: list[str]) -> None:
    assert parts(name) == expected


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_shared_function_that_is_called_was_defined_before(name: str) -> None:
    parts(name)
    text = re.sub(r"--.*", "", load(name).text)
    for function in {function for part in SHARED for function in FUNCTION.findall(FILES[part])}:
        if call := re.search(rf"\b{function}\(", text):
            assert text.startswith("local function ", call.start() - len("local function ")), function


@pytest.mark.parametrize("part", SHARED)
def test_shared_files_define_and_do_nothing(part: str) -> None:
    lines = [line for line in FILES[part].splitlines() if line and not line.startswith((" ", "--"))]
    assert lines
    assert all(line.startswith("local ") or line == "end" for line in lines)
