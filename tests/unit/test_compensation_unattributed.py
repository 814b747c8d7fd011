"""What of a loss nobody gets is said on every page, signed or not, and to whoever signs; so is what known holdings are worth."""

from pathlib import Path

import pytest

from streams.journal_file import line_of
from streams.pages import Page, html_page, markdown
from tests.unit.test_compensation_files import Kept, cells, compensate, sign
from tests.unit.test_decided import ALL, say

WORDS = "NOT ATTRIBUTED: 0.4 BTC, 400 of 1,001 JPY, can't be said whose it is: nobody is paid for it."


def lost(*holdings: tuple[str, str]) -> tuple[Kept, str]:
    """A hot wallet loses 1 BTC, 1,001 JPY; these holdings are told; two people compensate it."""
    story = Kept(actors=ALL)
    story.tell("prices price=1000.5")
    story.tell("reserves layer_id=reserve unit=JPY amount=600")
    for account, quantity in holdings:
        story.hold(account, quantity)
    story.tell("outflows tx_id=t1 address=thief amount=1")
    for _ in range(8):
        story.tell("progress")
    incident_id = next(iter(story.engine.state.incidents.by_id))
    for actor, command in (("ben", "confirm"), ("lea", "compensated"), ("leo", "compensated")):
        say(story, actor, command, incident_id, "incident")
    return story, incident_id


def pages(story: Kept, incident_id: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, str], str]:
    """The signed file's pages, and what was said to the second who signed."""
    journal, out = folder / "journal.jsonl", folder / "out"
    journal.write_bytes(b"".join(line_of(offset, entry) for offset, entry in enumerate(story.entries)))
    compensate(incident_id, journal, out)
    lea = sign(out, "lea")
    capsys.readouterr()
    leo = sign(out, "leo")
    said = "".join(capsys.readouterr())
    assert compensate(incident_id, journal, out, "--signed-by", str(lea), "--signed-by", str(leo))["status"] == "SIGNED"
    return {path.name: path.read_text(encoding="utf-8") for path in out.iterdir() if path.suffix in {".md", ".html"}}, said


def test_a_signed_file_says_on_every_page_what_nobody_gets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    story, incident_id = lost(("ann", "0.5"), ("bob", "0.1"))  # 500.5, 100.1 and, for nobody, 400.4 JPY: the yen that is missing is ann's
    found, said = pages(story, incident_id, tmp_path, capsys)
    assert len(found) == 4
    for name, page in found.items():
        words = WORDS if name.endswith(".md") else WORDS.replace("'", "&#x27;")
        assert words in page.partition("<h2>")[0].partition("\n## ")[0], name
        assert "DRAFT" not in page
    assert WORDS in " ".join(said.split())
    assert found["incident-report.md"].count(WORDS) == 2  # what is still open names it too
    assert [row["owner"] for row in cells(tmp_path / "out" / "compensation.csv")][-1] == "not attributed"
    assert (
        "2 customer(s) whose holdings are told had 0.6 BTC left together. If others held it too, these get more than their part"
        in found["summary.md"]
    )


def test_where_all_is_somebodys_nothing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    story, incident_id = lost(("ann", "5"))
    found, said = pages(story, incident_id, tmp_path, capsys)
    assert not any("NOT ATTRIBUTED" in text for text in (*found.values(), said))
    assert "1 customer(s) whose holdings are told had 5 BTC left together." in found["summary.md"]


def test_a_draft_says_both() -> None:
    page = Page("Title", "About", (), "not signed by two persons", "a < b")
    assert markdown(page).startswith("> **DRAFT: not signed by two persons. Nobody may act on it.**\n\n> **a \\< b**\n\n# Title")
    assert '<div class="draft">DRAFT: not signed by two persons<br>a &lt; b</div>' in html_page(page)
