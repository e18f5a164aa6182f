"""Calls of functions as files, run by the runner as an agent's host runs it."""

from __future__ import annotations

import importlib
import os
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from copilot.client import runner
from copilot.client.calls import RUNNER, InitializerFailed, RemoteTraceback, packed, runner_file, unpacked
from copilot.errors import JobFailed, NotPicklable


class Unfitting(Exception):
    """Cannot be made of what pickling keeps of it."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def double(number: int) -> int:
    return 2 * number


def fail() -> None:
    raise KeyError("no such thing")


def fail_unfittingly() -> None:
    raise Unfitting(1, 2)


def make_lock() -> Any:
    import threading

    return threading.Lock()


def leave() -> None:
    raise SystemExit(7)


def size_of_text(result: bytes) -> int:
    return int(result.partition(b"\n")[0].split()[1])


SEEN: list[int] = []


def see(number: int) -> None:
    SEEN.append(number)


def seen() -> list[int]:
    return SEEN


@pytest.fixture(autouse=True)
def _by_value() -> Any:
    """As what a program itself defines: the host has no such module."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def call(place: Path, data: bytes, *, python: str = sys.executable) -> tuple[int, bytes]:
    """The exit code of the runner, and what it has left."""
    (place / RUNNER).write_bytes(runner_file(python))
    (place / RUNNER).chmod(0o755)
    (place / "call").write_bytes(data)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run([f"./{RUNNER}"], cwd=place, check=False, env=environment, stderr=subprocess.PIPE)
    result = place / "result"
    return done.returncode, result.read_bytes() if result.exists() else done.stderr


def test_what_a_function_returns_comes_back(tmp_path: Path) -> None:
    code, result = call(tmp_path, packed(double, (21,), {}))
    assert (code, unpacked(result)) == (0, 42)


def test_many_calls_can_go_together(tmp_path: Path) -> None:
    _, result = call(tmp_path, packed(pow, [(2, 1), (2, 2), (2, 3)], {}, many=True))
    assert unpacked(result) == [2, 4, 8]


def test_what_it_raises_comes_back_with_where_that_was(tmp_path: Path) -> None:
    code, result = call(tmp_path, packed(fail, (), {}))
    with pytest.raises(KeyError, match="no such thing") as caught:
        unpacked(result)
    assert code == 0  # the job has done its work
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "in fail" in str(caught.value.__cause__)
    assert "runner" not in str(caught.value.__cause__)


def test_who_leaves_by_exit_has_raised_that(tmp_path: Path) -> None:
    _, result = call(tmp_path, packed(leave, (), {}))
    with pytest.raises(SystemExit):
        unpacked(result)


def test_a_result_that_cannot_be_pickled_is_told_as_that(tmp_path: Path) -> None:
    _, result = call(tmp_path, packed(make_lock, (), {}))
    with pytest.raises(TypeError, match="cannot pickle"):
        unpacked(result)


def test_an_exception_that_cannot_be_unpickled_is_told_by_its_text(tmp_path: Path) -> None:
    _, result = call(tmp_path, packed(fail_unfittingly, (), {}))
    with pytest.raises(NotPicklable, match="Unfitting: 1 and 2") as caught:
        unpacked(result)
    assert "in fail_unfittingly" in str(caught.value.__cause__)


def test_a_function_that_the_host_does_not_have_is_told_by_the_error_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    (here / "only_here.py").write_text("def double(number):\n    return 2 * number\n")
    monkeypatch.syspath_prepend(here)
    only_here = importlib.import_module("only_here")
    _, result = call(there, packed(only_here.double, (1,), {}))
    with pytest.raises(ModuleNotFoundError, match="only_here"):
        unpacked(result)


def test_the_initializer_comes_before(tmp_path: Path) -> None:
    _, result = call(tmp_path, packed(seen, (), {}, initializer=see, initargs=(5,)))
    assert unpacked(result) == [5]


def test_an_initializer_that_fails_is_told_apart(tmp_path: Path) -> None:
    _, result = call(tmp_path, packed(seen, (), {}, initializer=fail))
    with pytest.raises(InitializerFailed, match="no such thing"):
        unpacked(result)


def test_another_version_of_python_says_so(tmp_path: Path) -> None:
    _, _, body = packed(double, (1,), {}).partition(b"\n")
    code, result = call(tmp_path, b"3.2 one\n" + body)
    with pytest.raises(JobFailed, match=r"Python 3\.2 is needed"):
        unpacked(result)
    assert code == 3  # the agent's host is not fit for it


def test_a_host_without_that_python_says_so(tmp_path: Path) -> None:
    code, said = call(tmp_path, packed(double, (1,), {}), python="python2.1")
    assert code == 127
    assert b"python2.1 is not on this host" in said


@pytest.mark.parametrize("data", [b"", b"\n", b"returned\n", b"\xff\n", b"returned 0\nno pickle"])
def test_what_is_no_result_is_told_as_that(data: bytes) -> None:
    with pytest.raises(NotPicklable):
        unpacked(data)


def test_what_was_raised_must_be_an_exception() -> None:
    with pytest.raises(NotPicklable, match="no exception"):
        unpacked(b"raised 1\nx" + pickle.dumps(5))


def test_the_runner_is_the_same_file_each_time_so_that_agents_keep_it(tmp_path: Path) -> None:
    make: Callable[[], bytes] = runner_file.__wrapped__
    assert make() == make()
    assert len(make()) < 32 * 1024  # bytes: it lies in the file area once for each call
    (tmp_path / RUNNER).write_bytes(make())
    archive = zipfile.ZipFile(tmp_path / RUNNER)
    names = archive.namelist()
    assert b"Redistribution" in archive.read("cloudpickle/LICENSE")
    assert {"__main__.py", "cloudpickle/__init__.pyc", "cloudpickle/cloudpickle.pyc"} <= set(names)


def test_the_runner_is_text_that_an_old_python_reads() -> None:
    text = Path(runner.__file__).read_text()
    compile(text, "runner", "exec")
    assert "from __future__" not in text
    assert ":=" not in text
    assert " match " not in text.replace("re.match", "")


def test_a_traceback_shows_our_lines_although_the_host_has_no_such_file(tmp_path: Path) -> None:
    _, result = call(tmp_path, packed(fail, (), {}))
    line = b'    raise KeyError("no such thing")\n'
    away = re.sub(
        rb"raised [0-9]+", b"raised %d" % (size_of_text(result) - len(line)), result.replace(line, b"")
    )
    assert away != result  # this host has it
    with pytest.raises(KeyError) as caught:
        unpacked(away)
    assert '    raise KeyError("no such thing")' in str(caught.value.__cause__)
