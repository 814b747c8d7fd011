"""Cells of a CSV file: no formula, and one cell, wherever it is opened."""

import csv
import io
import re
from pathlib import Path

import pytest

from streams.safe_cells import safe_cell
from tests.unit.test_compensation_files import Kept, compensate, kept
from tests.unit.test_decided import ALL

STARTS = "=+-@\u2010\u2212\u207a\u208c\ufe62\ufe63\ufe66\ufe6b\uff1d\uff0b\uff0d\uff20"
UNSEEN = (
    "",
    " ",
    "\t",
    "\r",
    "\n",
    "\x00",
    "\xa0",
    "\u3000",
    "\ufeff",
    "\u200b",
    "\u2060",
    "\u00ad",
    "\u202e",
    "\u2800",
    "\ufe0f",
    "\U000e0001",
    ' "\u200b',
    "'",
)


@pytest.mark.parametrize("start", STARTS)
def test_a_cell_that_could_be_a_formula_is_text(start: str) -> None:
    for unseen in UNSEEN:
        for separator in ("", "a;", "a\t", "a\n", 'a";"'):
            cell = safe_cell(f"{separator}{unseen}{start}1+1")
            assert cell.startswith("'" if not separator else "a")
            assert not re.search(r"[;\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]", cell)
    assert safe_cell(f"1{start}1") == f"1{start}1"


@pytest.mark.parametrize(
    ("cell", "safe"), [("", ""), ("a;=X", "a\uff1b=X"), (" a b", " a b"), ("a\tb\r\nc", "a b  c"), ('a";"b', 'a"\uff1b"b'), ("日本", "日本")]
)
def test_a_cell_stays_what_it_is_but_for_separators(cell: str, safe: str) -> None:
    assert safe_cell(cell) == safe


def test_no_separator_of_another_country_makes_a_cell_of_a_part_of_one(tmp_path: Path) -> None:
    story = Kept(actors=ALL)
    story.tell("prices price=1000")
    names = ("a;=X", 'b;"=X', 'c";"=X', "d\u2028=X", "\u2212e", "\u3000=f", "g\u2003;\u200b@X")
    for name in names:
        story.hold(name, "1")
    story.tell("outflows tx_id=t1 address=thief amount=7")
    for _ in range(8):
        story.tell("progress")
    compensate(next(iter(story.engine.state.incidents.by_id)), kept(story, tmp_path), tmp_path / "out")
    for name in ("compensation.csv", "evidence.csv"):
        text = (tmp_path / "out" / name).read_bytes().decode("utf-8-sig")
        for delimiter in (",", ";", "\t"):
            read = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
            assert not [cell for row in read for cell in row if re.match(rf"[\s\u200b\ufeff\"]*[{re.escape(STARTS)}]", cell)]
            assert len({len(row) for row in read}) == 1, "each line has as many cells as the first"
            assert len(read) == text.count("\r\n")
