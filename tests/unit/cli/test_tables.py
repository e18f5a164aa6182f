"""Tables fit the terminal: cells are cut, then columns go; in a pipe all is there."""

from __future__ import annotations

import pytest

from copilot.cli.lines import cut
from copilot.cli.tables import Column, Table, age

COLUMNS = (
    Column(title="ID"),
    Column(title="N", right=True, rank=2),
    Column(title="WHY", least=6, rank=1),
)
TABLE = Table(columns=COLUMNS, rows=[["job-1", "7", "a long story"], ["j", "12", ""]])


def plain(table: Table, width: int | None) -> list[str]:
    return list(map(str, table.lines(width)))


def test_with_room_all_is_shown_and_numbers_stand_below_each_other() -> None:
    assert plain(TABLE, 80) == ["ID      N  WHY", "job-1   7  a long story", "j      12"]


def test_without_room_cells_are_cut_then_the_least_important_column_goes() -> None:
    assert plain(TABLE, 20) == ["ID      N  WHY", "job-1   7  a long s…", "j      12"]
    assert plain(TABLE, 14) == ["ID     WHY", "job-1  a long…", "j"]
    assert plain(TABLE, 5) == ["ID", "job-1", "j"]
    assert all(len(line) <= width for width in range(5, 40) for line in plain(TABLE, width))


def test_in_a_pipe_nothing_is_cut_and_each_column_is_there() -> None:
    rows = plain(Table(columns=COLUMNS, rows=[["x" * 100, "", "why"]]), None)
    assert rows[1].split() == ["x" * 100, "-", "why"]


def test_in_a_pipe_a_table_is_what_a_wide_terminal_shows_without_styles() -> None:
    rows = [["a", "1", "running"], ["ein längerer Name 世界", "22", "b"], ["c", "333", "held"]]
    table = Table(columns=COLUMNS, rows=rows)
    assert plain(table, None) == plain(table, 200)


def test_columns_that_say_nothing_take_no_room_on_a_terminal() -> None:
    assert plain(Table(columns=COLUMNS, rows=[["a", "", "b"]]), 80) == ["ID  WHY", "a   b"]


def test_what_others_have_said_moves_no_cursor_and_wide_characters_count_as_two() -> None:
    lines = plain(Table(columns=COLUMNS[:1], rows=[["\x1b[2Jx"], ["日本"]]), 80)
    assert lines[1:] == [r"\x1b[2Jx", "日本"]
    assert cut("日本語", 5) == "日本…"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0s"),
        (59.9, "59s"),
        (65, "1m05s"),
        (3600, "1h00m"),
        (12_000, "3h20m"),
        (4 * 86_400 + 25_200, "4d07h"),
    ],
)
def test_how_long_something_lasts(seconds: float, text: str) -> None:
    assert age(seconds) == text
