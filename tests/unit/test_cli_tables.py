"""Rows on a terminal, narrow and wide: no word is ever broken, nothing is lost, a table where one fits."""

import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from streams.cli import tables

COLUMNS = ("mark", "state", "amount", "open JPY", "carried by")
ROWS = [
    ("withdrawal:w-1", "partly recovered", "4,502.9", "48,200,000,000", "guarantee-btc held 500 BTC, liability-reserve held 42,847,893,580 JPY"),
    ("withdrawal:w-22", "suspected", "1", "0", ""),
]


def shown(width: int, columns: Sequence[str] = COLUMNS, rows: Sequence[Sequence[str]] = ROWS, *, colour: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=colour, color_system="standard" if colour else None)
    tables.show(columns, rows, "The marks", ["red", ""], console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", range(50, 200, 5))
def test_no_word_is_broken_and_no_line_is_longer_than_the_terminal(width: int) -> None:
    told = shown(width)
    words = told.split()
    for row in ROWS:
        for cell in row:
            assert all(word in words for word in cell.split()), (width, cell)
    assert all(len(line.rstrip()) <= width for line in told.splitlines() if "carried by: " not in line), "but for one cell that is longer by itself"


def test_a_table_where_it_fits_with_numbers_to_the_right() -> None:
    lines = [line.rstrip() for line in shown(100).splitlines() if line.strip()]
    assert lines[0] == "The marks" and lines[1].split() == ["mark", "state", "amount", "open", "JPY", "carried", "by"]
    assert lines[3].startswith("withdrawal:w-1   partly recovered  4,502.9  48,200,000,000  guarantee-btc held")
    assert lines[-1] == "withdrawal:w-22  suspected               1               0"


def test_where_none_fits_a_row_has_its_name_and_each_cell_its_columns() -> None:
    assert shown(60) == (
        "The marks\n"
        "withdrawal:w-1\n"
        "  state: partly recovered  amount: 4,502.9\n"
        "  open JPY: 48,200,000,000\n"
        "  carried by: guarantee-btc held 500 BTC, liability-reserve held 42,847,893,580 JPY\n"
        "withdrawal:w-22\n"
        "  state: suspected  amount: 1  open JPY: 0\n"
    )


def test_both_have_the_rows_colours_on_a_terminal() -> None:
    assert "\x1b[31m" in shown(100, colour=True) and "\x1b[1;31mwithdrawal:w-1" in shown(60, colour=True)


def test_the_first_column_and_markup_stay_as_they_are() -> None:
    name = "outflow:" + "0123456789abcdef" * 5 + " e-1"
    for width in (80, 200):
        assert f"{name}" in shown(width, ("mark", "what"), [(name, "[bold]x[/bold]"), ("b", "")])
        assert "[bold]x[/bold]" in shown(width, ("mark", "what"), [(name, "[bold]x[/bold]"), ("b", "")])
