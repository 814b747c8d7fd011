"""From a journal to files at the command line: drafts and signatures, spreadsheets that run nothing, pages that are only text, evidence that is true."""

import base64
import csv
import html
import io
import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from monitor.contracts.compensation import SignOff
from monitor.contracts.schema import documents
from monitor.sign_offs import status
from streams.cli.app import run
from streams.journal_file import line_of
from streams.pages import Page, Section, Table, html_page, markdown
from tests.simulation.journals import policy
from tests.unit.story import Story
from tests.unit.test_decided import ALL, KEYS, say

EVIL = "=cmd|'/C calc'!A0<script>alert(1)</script>"
"""An account that somebody named so."""


class Kept(Story):
    """A story whose journal is kept."""

    def __init__(self, **changes: Any) -> None:
        self.entries: list[bytes] = []
        super().__init__(**changes)

    def feed(self, entry: bytes) -> list[dict[str, object]]:
        self.entries.append(entry)
        return super().feed(entry)

    def hold(self, account: str, quantity: str) -> None:
        self.now_ms += 1_000
        self.numbers += 1
        facts = {"event_id": f"e{self.numbers}", "occurred_at_ms": self.now_ms, "account_id": account, "asset": "BTC", "quantity": quantity}
        self.feed(self.writer.event("holdings", facts, self.now_ms))


def told(*, compensated: bool = True) -> Kept:
    """A hot wallet loses 1 BTC that nobody asked for; four customers held 8 together; people decide."""
    story = Kept(actors=ALL)
    story.tell("prices price=1000.5")
    story.tell("reserves layer_id=reserve unit=JPY amount=600")
    story.hold("ann", "9")  # newer holdings follow: this one doesn't count
    for account, quantity in (("ann", "4"), ("bob", "2"), (EVIL, "1"), ("cyd", "1"), ("none", "0")):
        story.hold(account, quantity)
    story.tell("outflows tx_id=t1 address=thief amount=1")
    for _ in range(8):
        story.tell("progress")
    story.hold("bob", "2000")  # after the loss
    incident_id = next(iter(story.engine.state.incidents.by_id))
    if compensated:
        say(story, "ana", "acknowledge", incident_id, "incident")
        say(story, "ben", "confirm", incident_id, "incident")
        say(story, "lea", "compensated", incident_id, "incident")
        say(story, "leo", "compensated", incident_id, "incident")
        say(story, "lea", "close", incident_id, "incident", argument="confirmed_unauthorized")
        say(story, "leo", "close", incident_id, "incident", argument="confirmed_unauthorized")
    return story


@pytest.fixture
def story() -> Kept:
    return told()


@pytest.fixture
def journal(story: Kept, tmp_path: Path) -> Path:
    return kept(story, tmp_path)


def kept(story: Kept, folder: Path) -> Path:
    """The story's journal, as it is by now."""
    path = folder / "journal.jsonl"
    path.write_bytes(b"".join(line_of(offset, entry) for offset, entry in enumerate(story.entries)))
    return path


@pytest.fixture
def incident_id(story: Kept) -> str:
    return next(iter(story.engine.state.incidents.by_id))


def compensate(incident_id: str, journal: Path, out: Path, *more: str, rule: str = "loss-time") -> dict[str, Any]:
    arguments = ("compensation", incident_id, "--price-rule", rule, "--journal", str(journal), "--out", str(out), *more)
    assert run(arguments) == 0
    found: dict[str, Any] = json.loads((out / "compensation.json").read_bytes())
    return found


def sign(out: Path, actor: str, key: str | None = None) -> Path:
    key_file, signed = out / f"{actor}.key", out / f"{actor}.json"
    key_file.write_text(base64.b64encode(KEYS[key or actor].private_bytes_raw()).decode())
    key_file.chmod(0o600)
    assert run(("sign-off", str(out / "compensation.json"), "--actor", actor, "--key-file", str(key_file), "--out", str(signed))) == 0
    return signed


def cells(path: Path) -> list[dict[str, str]]:
    content = path.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_the_loss_is_divided_as_by_hand_and_the_evidence_is_true(incident_id: str, journal: Path, story: Kept, tmp_path: Path) -> None:
    file = compensate(incident_id, journal, tmp_path / "out")
    jsonschema.Draft202012Validator(json.loads(documents()["compensation.schema.json"])).validate(file)
    statement = file["statement"]
    # 1 BTC of 8: each loses an eighth of what was held; 1 BTC at 1,000.5 JPY is 1,001 JPY, by 4, 2, 1 and 1: 500.5, 250.25, 125.125 twice.
    assert [(line["account_id"], line["quantity"], line["base_amount"], line["held"]) for line in statement["lines"]] == [
        (EVIL, "0.125", "125", "1"), ("ann", "0.5", "501", "4"), ("bob", "0.25", "250", "2"), ("cyd", "0.125", "125", "1"),
    ]  # fmt: skip
    assert statement["totals"]["base_amount"] == statement["totals"]["ledger_base_amount"] == "1001"
    [group] = statement["groups"]
    assert [(layer["layer_id"], layer["account"], layer["amount"]) for layer in group["layers"]] == [
        ("reserve", "paid", "600"), ("uncovered", "paid", "401"),
    ]  # fmt: skip
    [mark] = group["marks"]
    kinds = [each["what"] for each in mark["evidence"]]
    assert kinds == ["outflow", "version 1", "version 2", "version 3"]
    for each in [*mark["evidence"], *(line["holding"] for line in statement["lines"])]:
        assert sha256(story.entries[each["offset"]]).hexdigest() == each["sha256"]
    texts = [story.entries[each["offset"]] for each in mark["evidence"]]
    assert b'"tx_id":"t1"' in texts[0]
    assert b'"command":"confirm"' in texts[2]
    assert b'"actor":"leo"' in texts[3] and b'"command":"compensated"' in texts[3]
    assert b'"quantity":"4"' in story.entries[statement["lines"][1]["holding"]["offset"]]
    rows = cells(tmp_path / "out" / "evidence.csv")
    assert [(row["offset"], row["what"]) for row in rows] == [(str(each["offset"]), each["what"]) for each in mark["evidence"]]


def test_the_same_journal_gives_the_same_bytes_and_what_came_later_changes_nothing(
    incident_id: str, journal: Path, story: Kept, tmp_path: Path
) -> None:
    first, again, later = (tmp_path / name for name in ("first", "again", "later"))
    one, two = (compensate(incident_id, journal, out) for out in (first, again))
    assert one == two
    assert {path.name: path.read_bytes() for path in first.iterdir()} == {path.name: path.read_bytes() for path in again.iterdir()}
    story.tell("prices price=2000")
    story.hold("ann", "77")
    journal.write_bytes(b"".join(line_of(offset, entry) for offset, entry in enumerate(story.entries)))
    assert compensate(incident_id, journal, later)["statement_sha256"] == one["statement_sha256"]


def test_it_is_a_draft_until_two_have_signed(incident_id: str, journal: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def pages() -> dict[str, str]:
        return {
            path.name: path.read_text(encoding="utf-8")
            for path in out.iterdir()
            if path.suffix in {".csv", ".md", ".html", ".json"} and path.stem not in ALL
        }

    assert compensate(incident_id, journal, out)["status"] == "DRAFT"
    assert all("DRAFT" in page for page in pages().values())
    lea, leo = sign(out, "lea"), sign(out, "leo")
    assert compensate(incident_id, journal, out, "--signed-by", str(lea))["status"] == "DRAFT"
    assert compensate(incident_id, journal, out, "--signed-by", str(lea), "--signed-by", str(lea))["status"] == "DRAFT"
    signed = compensate(incident_id, journal, out, "--signed-by", str(lea), "--signed-by", str(leo))
    assert (signed["status"], [one["actor"] for one in signed["sign_offs"]]) == ("SIGNED", ["lea", "leo"])
    assert len(pages()) == 7
    assert not any("DRAFT" in page for page in pages().values())


@pytest.mark.parametrize(
    ("actor", "key", "words"),
    [
        ("ana", None, "may not decide that something is compensated"),
        ("robot", None, "may not decide that something is compensated"),
        ("nobody", None, "no key of nobody"),
        ("lea", "eve", "the signature isn't lea's"),
    ],
)
def test_a_sign_off_that_does_not_count_is_refused(
    incident_id: str, journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], actor: str, key: str | None, words: str
) -> None:
    out = tmp_path / "out"
    compensate(incident_id, journal, out)
    signed = sign(out, actor, key)
    arguments = ("compensation", incident_id, "--price-rule", "loss-time", "--journal", str(journal), "--out", str(out), "--signed-by", str(signed))
    assert run(arguments) == 2
    assert words in capsys.readouterr().err


def test_a_signature_is_of_one_statement_only(incident_id: str, journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    compensate(incident_id, journal, out)
    lea = sign(out, "lea")
    arguments = ("compensation", incident_id, "--price-rule", "fixed:1000.5", "--journal", str(journal), "--out", str(out), "--signed-by", str(lea))
    assert run(arguments) == 2
    assert "has signed another statement" in capsys.readouterr().err
    path = out / "compensation.json"
    path.write_bytes(path.read_bytes().replace(b'"501"', b'"901"'))
    (out / "leo.key").write_text(base64.b64encode(KEYS["leo"].private_bytes_raw()).decode())
    (out / "leo.key").chmod(0o600)
    assert run(("sign-off", str(path), "--actor", "leo", "--key-file", str(out / "leo.key"), "--out", str(out / "leo.json"))) == 2
    assert "was changed" in capsys.readouterr().err


def test_what_is_only_suspected_stays_a_draft_whoever_signs(tmp_path: Path) -> None:
    story = told(compensated=False)
    journal, out = tmp_path / "journal.jsonl", tmp_path / "out"
    journal.write_bytes(b"".join(line_of(offset, entry) for offset, entry in enumerate(story.entries)))
    incident_id = next(iter(story.engine.state.incidents.by_id))
    assert compensate(incident_id, journal, out)["statement"]["suspected"] == 1
    lea, leo = sign(out, "lea"), sign(out, "leo")
    assert compensate(incident_id, journal, out, "--signed-by", str(lea), "--signed-by", str(leo))["status"] == "DRAFT"
    for name in ("summary.html", "incident-report.html"):
        assert "DRAFT: marks are only suspected<" in (out / name).read_text(encoding="utf-8")


def test_no_cell_is_a_formula_and_no_page_has_markup_of_others(incident_id: str, journal: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    compensate(incident_id, journal, out)
    rows = cells(out / "compensation.csv")
    assert [row["account"] for row in rows] == [f"'{EVIL}", "ann", "bob", "cyd"]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for cell in row.values())
    assert (out / "compensation.csv").read_bytes().count(b"\r\n") == len(rows) + 1
    for name in ("summary.html", "incident-report.html"):
        page = (out / name).read_text(encoding="utf-8")
        assert "<script" not in page
        assert not re.search(r"""(?:src|href)\s*=|url\(|@import""", page)
    assert html.escape(EVIL) in re.sub(r"</?span[^>]*>", "", (out / "summary.html").read_text(encoding="utf-8"))
    assert "<script" not in (out / "summary.md").read_text(encoding="utf-8").replace("\\<script", "")


def test_pages_are_one_text_whatever_is_in_them() -> None:
    nasty = "a|b\n# c\u2028<b>&amp; [x](y) `z` \x1b[0m \u202e"
    page = Page(nasty, nasty, [Section(nasty, [nasty], [nasty], [Table(("k|", "v"), [(nasty, nasty)], ("v",), nasty)])], draft=nasty)
    text, web = markdown(page), html_page(page)
    lines = text.splitlines()
    assert sum(line.startswith("|") for line in lines) == 3
    assert [line[:3] for line in lines if line.startswith("#")] == ["# a", "## "]
    assert not re.search(r"(?<!\\)[<\[`]", text)
    assert "<b>" not in web and "&lt;b&gt;&amp;amp;" in web
    assert "\x1b" not in text + web and "\u202e" not in text + web


def test_the_report_says_what_happened_and_what_is_open(incident_id: str, journal: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    compensate(incident_id, journal, out)
    report = (out / "incident-report.md").read_text(encoding="utf-8")
    for words in (
        "closed as confirmed unauthorized", "| BTC | customers' | 1 | 0 | 0 | 1 |", "suspected, version 1", "compensated, version 3",
        "Customers to compensate: 4", "No provider is involved", "| reserve | before | JPY | 600 | 0 | 600 | 0 | 0 |",
        "| reserve | after | JPY | 600 | 0 | 0 | 0 | 600 |", "lea and leo", "ana", "halted: nobody has told when", "The compensation file is a draft",
    ):  # fmt: skip
        assert words in report, words


def test_a_report_comes_before_anything_is_known_of_compensation(tmp_path: Path) -> None:
    story = told(compensated=False)
    journal, out = tmp_path / "journal.jsonl", tmp_path / "out"
    journal.write_bytes(b"".join(line_of(offset, entry) for offset, entry in enumerate(story.entries)))
    incident_id = next(iter(story.engine.state.incidents.by_id))
    assert run(("incident-report", incident_id, "--journal", str(journal), "--out", str(out))) == 0
    report = (out / "incident-report.md").read_text(encoding="utf-8")
    for words in (
        "Customers to compensate: not computed",
        "Nobody has decided anything yet",
        "401 JPY are carried by no layer",
        "1 mark(s) are suspected",
    ):
        assert words in report, words
    assert sorted(path.name for path in out.iterdir()) == ["incident-report.html", "incident-report.md"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("compensation", "incident-0-0", "--price-rule", "loss-time"), "There is no incident incident-0-0"),
        (("compensation", "INCIDENT", "--price-rule", "cheapest"), "is no price rule"),
        (("compensation", "INCIDENT", "--price-rule", "fixed:ETH=1"), "names ETH, of which this incident has nothing to pay back"),
        (("compensation", "INCIDENT", "--price-rule", "fixed:BTC=1,FOO=2"), "names FOO, of which this incident has nothing to pay back"),
        (("compensation", "INCIDENT", "--price-rule", "average:1..2"), "none is recorded in that time"),
        (("compensation", "INCIDENT", "--price-rule", "loss-time", "--signed-by", "missing.json"), "can't be read"),
        (("compensation", "INCIDENT", "--price-rule", "loss-time", "--signed-by", "JOURNAL"), "is no sign-off"),
        (("incident-report", "incident-0-0"), "There is no incident incident-0-0"),
    ],
)
def test_bad_usage_is_one_sentence(
    incident_id: str, journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    names = {"INCIDENT": incident_id, "JOURNAL": str(journal)}
    chosen = [names.get(word, word) for word in arguments]
    assert run((*chosen, "--journal", str(journal), "--out", str(tmp_path / "out"))) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_average_is_of_the_recorded_prices(tmp_path: Path) -> None:
    story = told()
    story.tell("prices price=1000")
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(b"".join(line_of(offset, entry) for offset, entry in enumerate(story.entries)))
    incident_id = next(iter(story.engine.state.incidents.by_id))
    file = compensate(incident_id, journal, tmp_path / "out", rule=f"average:0..{story.now_ms}")
    [price] = file["statement"]["prices"]
    assert (price["price"], price["prices"]) == ("1000.25", 2)
    assert (file["statement"]["totals"]["base_amount"], file["statement"]["totals"]["ledger_base_amount"]) == ("1001", "1001")


def test_one_person_twice_is_one_person() -> None:
    told = policy(actors=ALL)
    one = SignOff(actor="lea", incident_id="i", statement_sha256="0" * 64, signature="x")
    two = SignOff(actor="leo", incident_id="i", statement_sha256="0" * 64, signature="y")
    assert (status([one, one], 0, told), status([one, two], 0, told), status([one, two], 1, told)) == ("DRAFT", "SIGNED", "DRAFT")


def test_revisions_are_each_change_of_amount_or_stage_with_the_sum_after_it(tmp_path: Path) -> None:
    story = told(compensated=False)
    story.tell("outflows tx_id=t2 address=thief amount=0.25")
    for _ in range(8):
        story.tell("progress")
    incident_id = next(iter(story.engine.state.incidents.by_id))
    second = next(name for name in story.engine.state.marks.by_id if "t2" in name)
    say(story, "ana", "change_cause", second, "mark", argument="undecided")
    say(story, "ana", "clear", second, "mark")
    journal, out = tmp_path / "journal.jsonl", tmp_path / "out"
    journal.write_bytes(b"".join(line_of(offset, entry) for offset, entry in enumerate(story.entries)))
    assert run(("incident-report", incident_id, "--journal", str(journal), "--out", str(out))) == 0
    lines = [line.split(" | ") for line in (out / "incident-report.md").read_text(encoding="utf-8").splitlines() if " | outflow:" in line]
    assert [(line[4], line[5], line[6].removesuffix(" |")) for line in lines] == [
        ("suspected, version 1", "1", "1"), ("suspected, version 1", "0.25", "1.25"), ("cleared, version 3", "0.25", "1"),
    ]  # fmt: skip
