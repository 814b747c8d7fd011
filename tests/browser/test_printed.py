"""Pages as a browser prints them: nothing is hidden or cut, and every sheet says DRAFT, what it is about, and what its columns are."""

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from streams.pages import Page, Section, Table, html_page
from tests.unit.test_pages import COLUMNS, ROW

pytestmark = pytest.mark.browser
ROWS = 150
DRAFT = "DRAFT: not signed by two persons"
MARGIN_POINTS = 15 / 25.4 * 72
SLACK_POINTS = 2.0
CHROMIUM = ("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer")


class Word(NamedTuple):
    """A word on a sheet, and the box around it in points."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


def printed(page: Page, directory: Path) -> list[tuple[float, list[Word]]]:
    """The sheets, each with its width and its words as they are read."""
    source, target = directory / "page.html", directory / "page.pdf"
    source.write_text(html_page(page), encoding="utf-8")
    arguments = [*CHROMIUM, f"--user-data-dir={directory / 'profile'}", f"--print-to-pdf={target}", source.as_uri()]
    subprocess.run(arguments, check=True, capture_output=True, timeout=120)
    told = subprocess.run(["pdftotext", "-bbox", str(target), "-"], check=True, capture_output=True, text=True, timeout=60).stdout
    boxes = re.compile(r'<word xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">([^<]*)</word>')
    sheets = re.findall(r'<page width="([\d.]+)"[^>]*>(.*?)</page>', told, re.DOTALL)
    return [(float(width), sorted((Word(box[4], *map(float, box[:4])) for box in boxes.findall(words)), key=_place)) for width, words in sheets]


def _place(word: Word) -> tuple[int, float]:
    return round(word.top), word.left


def test_every_sheet_is_whole_and_says_what_it_is(tmp_path: Path) -> None:
    table = Table(COLUMNS, [ROW] * ROWS, ("amount",), "All")
    sheets = printed(Page("Report", "Incident i-1", [Section("Amounts", tables=[table])], DRAFT.removeprefix("DRAFT: ")), tmp_path)
    assert len(sheets) > 2
    amounts = 0
    for number, (width, words) in enumerate(sheets, start=1):
        text = " ".join(word.text for word in words)
        assert text.startswith(f"{DRAFT} Incident i-1 "), text[:200]
        assert text.endswith(f"page {number} of {len(sheets)}")
        assert all(f" {column} " in text for column in COLUMNS), "the columns are named on every sheet"
        banner = max(word.bottom for word in words[: len(DRAFT.split())])
        assert all((word.top + word.bottom) / 2 >= banner for word in words[len(DRAFT.split()) :]), "the draft's banner hides nothing"
        assert all(word.left >= MARGIN_POINTS - SLACK_POINTS and word.right <= width - MARGIN_POINTS + SLACK_POINTS for word in words)
        amounts += sum(word.text == "147.65909585" for word in words)
    assert amounts == ROWS, "no amount is broken or lost"
