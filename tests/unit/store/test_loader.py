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
NAME = re.compile(r"^local (?:function )?(\w+(?:,\s*\w+)*)", re.MULTILINE)


def front(name: str) -> str:
    """What stands in front of a script."""
    text = load(name).text
    assert text.endswith(FILES[name])
    return text.removesuffix(FILES[name])


def test_what_is_done_for_every_job_has_what_it_uses_and_no_more() -> None:
    assert FUNCTION.findall(front("publish")) == ["read_clock", "exact", "even_if_full", "event"]
    functions = FUNCTION.findall(front("finish"))
    assert {"settle", "requeue", "judge", "leave_queue"} <= set(functions)
    assert not {"best_queue", "add_job", "unpark"} & set(functions)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_shared_definition_in_front_of_a_script_is_used(name: str) -> None:
    text = re.sub(r"--.*", "", load(name).text)
    for names in NAME.findall(front(name)):
        uses = [len(re.findall(rf"\b{one}\b", text)) for one in re.findall(r"\w+", names)]
        assert max(uses) > 1, names


@pytest.mark.parametrize("name", SCRIPTS)
def test_there_is_room_for_the_local_names_of_a_script(name: str) -> None:
    names = NAME.findall(re.sub(r"--.*", "", load(name).text))
    assert sum(len(one.split(",")) for one in names) <= 190  # of 200


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_shared_function_that_is_called_was_defined_before(name: str) -> None:
    text = re.sub(r"--.*", "", load(name).text)
    for function in {function for part in SHARED for function in FUNCTION.findall(FILES[part])}:
        if call := re.search(rf"\b{function}\(", text):
            assert text.startswith("local function ", call.start() - len("local function ")), function


@pytest.mark.parametrize("part", SHARED)
def test_shared_files_define_and_do_nothing(part: str) -> None:
    lines = [line for line in FILES[part].splitlines() if line and not line.startswith((" ", "--"))]
    assert lines
    assert all(line.startswith("local ") or line == "end" for line in lines)
