"""Rows on a terminal: a table where it fits without breaking a word; else one row below the other, each cell with its column's name.

Knows no data. Called by `streams.cli.printing` alone.
"""

import re
from collections.abc import Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

GAP = 2
FOLDED_FROM = 48
"""A word of so many letters, such as a hash, may be broken: few terminals are as wide as two of them."""
NARROW = 24
LINES_MAX = 4
"""A narrow column of more lines than these is no pleasure to read."""
_NUMBER = re.compile(r"(at least )?-?[\d,.]+|\?|")


def show(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None, styles: Sequence[str], console: Console) -> None:
    """Print rows in the console's width; `styles` are the rows' colours, or none."""
    cells = list(zip(columns, *rows, strict=True))
    least, whole = [max(map(_least, each)) for each in cells], [max(map(_whole, each)) for each in cells]
    least[0] = whole[0]  # it names the row: it is copied and searched for, so it is never broken
    spare = console.width - sum(least) - GAP * len(cells)
    widths = _widths(least, whole, max(0, spare))
    crowded = any(width < NARROW and needed > LINES_MAX * width for width, needed in zip(widths, whole, strict=True))
    if spare >= 0 and not crowded:
        console.print(_table(columns, rows, widths, title, styles))
        return
    if title is not None:
        console.print(Text(title, style="italic"))
    for number, row in enumerate(rows):
        for line in _record(columns, row, console.width):
            console.print(Text.assemble(*line, style=styles[number] if styles else ""), soft_wrap=True)


def _least(cell: str) -> int:
    """The width in which no word of it is broken."""
    return max((min(cell_len(word), FOLDED_FROM) for word in cell.split()), default=1)


def _whole(cell: str) -> int:
    """The width in which it needs no more lines than it has."""
    return max(map(cell_len, cell.splitlines()), default=1)


def _widths(least: Sequence[int], whole: Sequence[int], spare: int) -> list[int]:
    """The least widths and what is to spare, shared by those that need more; who needs little gets all of it."""
    found = list(least)
    order = sorted(range(len(found)), key=lambda number: whole[number] - least[number])
    for place, number in enumerate(order):
        given = min(max(0, whole[number] - least[number]), spare // (len(order) - place))
        found[number] += given
        spare -= given
    return found


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], title: str | None, styles: Sequence[str]) -> Table:
    zebra = ("", "dim") if len(rows) > 1 and not styles else ()
    table = Table(
        title=title, title_justify="left", header_style="bold", row_styles=zebra, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0)
    )  # fmt: skip
    for column, width, *cells in zip(columns, widths, *rows, strict=True):
        numbers = bool(cells) and all(_NUMBER.fullmatch(cell) for cell in cells)
        table.add_column(column, width=width, overflow="fold", justify="right" if numbers else "left")
    for number, row in enumerate(rows):
        table.add_row(*(Text(cell) for cell in row), style=styles[number] if styles else None)
    return table


def _record(columns: Sequence[str], row: Sequence[str], width: int) -> Iterator[list[tuple[str, str]]]:
    """The row's first cell, then its others with their names, as many in a line as fit; each line in parts with their styles."""
    yield [(row[0], "bold")]
    line: list[tuple[str, str]] = []
    used = 0
    for column, cell in zip(columns[1:], row[1:], strict=True):
        told = " ".join(cell.split())
        if not told:
            continue
        needed = GAP + cell_len(column) + cell_len(": ") + cell_len(told)
        if line and used + needed > width:
            yield line
            line, used = [], 0
        line += [(" " * GAP, ""), (f"{column}: ", "dim"), (told, "")]
        used += needed
    if line:
        yield line
