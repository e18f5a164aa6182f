"""Tables of text: on a terminal they fit its width, in a pipe they are whole, one line a row.

On a terminal too narrow for all, cells are cut first, where their column says that they may be, then columns go, the least
important one first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field

from copilot.cli.lines import Line, cut, width_of
from copilot.job import one_line
from copilot.records import dataclass

GAP = 2  # blanks between columns
NOTHING = "-"  # in a pipe, so that programs that count words find each column
HEAD = "bold"
STYLES = {
    "running": "green",
    "busy": "green",
    "done": "green",
    "failed": "red",
    "revoked": "red",
    "expired": "red",
    "quarantined": "red",
    "held": "yellow",
    "blocked": "yellow",
    "draining": "yellow",
    "paused": "yellow",
    "cancelled": "dim",
    "away": "dim",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """`least`: to how many characters its cells may be cut, None for never. `rank`: the highest goes first where there is no
    room; 0 stays in any case."""

    title: str
    right: bool = False
    least: int | None = None
    rank: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of texts, one for each column. A cell that is a word of `styles` is shown so. `wide`: how wide columns are at least, for
    tables that go on below another one."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    styles: Mapping[str, str] = field(default_factory=lambda: STYLES)
    wide: Sequence[int] = ()

    def lines(self, width: int | None) -> Iterable[Line]:
        """Head and rows, no wider than `width` characters; None: for a pipe, whole."""
        rows = [[one_line(cell) for cell in row] for row in self.rows]
        kept = self._kept(rows, width)
        if width is None:
            rows = [[cell or NOTHING for cell in row] for row in rows]
        yield _line([(self.columns[at], self.columns[at].title, size, HEAD) for at, size in kept])
        for row in rows:
            yield _line(
                [(self.columns[at], row[at], size, self.styles.get(row[at], "")) for at, size in kept]
            )

    def _kept(self, rows: Sequence[Sequence[str]], width: int | None) -> list[tuple[int, int]]:
        """Which columns are shown, and how wide."""
        sizes = [
            max([width_of(column.title), *(width_of(row[at]) for row in rows)])
            for at, column in enumerate(self.columns)
        ]
        wide = self.wide or [0] * len(sizes)
        sizes = [max(pair) for pair in zip(sizes, wide, strict=True)]
        kept = list(range(len(self.columns)))
        if width is None:
            return [(at, sizes[at]) for at in kept]
        # A column of which no row says anything takes no room.
        kept = [at for at in kept if not rows or wide[at] or any(row[at] for row in rows)]
        while self._least(kept, sizes) > width and any(self.columns[at].rank for at in kept):
            kept.remove(max(kept, key=lambda at: (self.columns[at].rank, at)))
        return self._cut(kept, sizes, width)

    def _least(self, kept: Sequence[int], sizes: Sequence[int]) -> int:
        return sum(self._smallest(at, sizes[at]) for at in kept) + GAP * (len(kept) - 1)

    def _smallest(self, at: int, size: int) -> int:
        column = self.columns[at]
        return size if column.least is None else min(size, max(column.least, width_of(column.title)))

    def _cut(self, kept: Sequence[int], sizes: Sequence[int], width: int) -> list[tuple[int, int]]:
        now = {at: sizes[at] for at in kept}
        over = sum(now.values()) + GAP * (len(kept) - 1) - width
        while over > 0:
            room = {at: size - self._smallest(at, sizes[at]) for at, size in now.items()}
            widest = max(now, key=lambda at: (room[at] > 0, now[at]))
            if room[widest] <= 0:
                break
            now[widest] -= 1
            over -= 1
        return list(now.items())


def _line(cells: Sequence[tuple[Column, str, int, str]]) -> Line:
    pieces = list[tuple[str, str]]()
    for at, (column, text, size, style) in enumerate(cells):
        shown = cut(text, size)
        blanks = " " * (size - width_of(shown))
        gap = " " * (GAP if at else 0)
        pieces += (
            [(gap + blanks, ""), (shown, style)]
            if column.right
            else [(gap, ""), (shown, style), (blanks, "")]
        )
    while pieces and not pieces[-1][0].strip():
        pieces.pop()
    if pieces:
        text, style = pieces.pop()
        pieces.append((text.rstrip(), style))
    return Line(tuple(pieces))


def age(seconds: float) -> str:
    """How long something lasts, in the two largest units that say anything: 45s, 12m05s, 3h20m, 4d07h."""
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if days:
        return f"{days}d{hours % 24:02}h"
    if hours:
        return f"{hours}h{minutes % 60:02}m"
    return f"{minutes}m{whole % 60:02}s" if minutes else f"{whole}s"
