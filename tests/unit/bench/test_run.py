"""The whole run: a part that fails costs its own rows and no more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import run
from bench.goals import GOALS
from bench.row import Row
from bench.run import Part


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `bench` of which only what the test writes is there."""
    package = tmp_path / "bench"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "HERE", package)
    return package


def names() -> list[str]:
    return [goal.name for goal in GOALS if goal.part == "agent"]


def test_a_part_tells_rows_and_gets_its_options(parts: Path) -> None:
    text = "import json, sys; print(json.dumps({'rows': [{'name': sys.argv[1], 'unit': 's', 'value': 2}]}))"
    (parts / "agent.py").write_text(text)
    found = run.rows_of(Part(name="agent", module="agent"), ["own"])
    assert found[-1] == Row(name="own", unit="s", value=2)
    assert [row.name for row in found[:-1]] == names()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "not written yet"),
        ("raise SystemExit(3)", "exit status 3"),
        ("print('no JSON')", "bench.agent failed"),
        ("print('{}')", "rows"),
    ],
    ids=["missing", "ends with an error", "says something else", "has no rows"],
)
def test_a_part_that_fails_is_told_of_in_its_rows(parts: Path, text: str | None, why: str) -> None:
    if text is not None:
        (parts / "agent.py").write_text(text)
    found = run.rows_of(Part(name="agent", module="agent"), [])
    assert [row.name for row in found] == names()
    assert not any(row.met for row in found)
    assert all(row.note.startswith("not measured: ") and why in row.note for row in found)


def test_a_result_file_names_machine_and_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "RESULTS", tmp_path)
    path = run.write([Row(name="n", unit="s", value=1)], form="short", whole=True)
    found = json.loads(path.read_text())
    assert found["rows"][0]["name"] == "n"
    assert found["machine"].keys() >= {
        "cores",
        "cpu",
        "kernel",
        "python",
        "prosody",
        "ejabberd",
        "redis-server",
    }
    assert (tmp_path / "latest.json").read_text() == path.read_text()
