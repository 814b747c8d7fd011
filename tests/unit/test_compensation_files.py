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
import msgspec
import pytest

from monitor.contracts.compensation import SignOff
from monitor.contracts.holdings import Holding
from monitor.contracts.journal import HoldingEntry, PriceEntry
from monitor.contracts.prices import Price
from monitor.contracts.schema import documents
from monitor.policy import Asset
from monitor.price_rules import PriceRule, mean, parse_rule
from monitor.sign_offs import status
from streams.cli.app import run
from streams.compensation import _holdings, _recorded_prices
from streams.dossier import Accepted
from streams.journal_file import line_of
from streams.pages import Page, Section, Table, html_page, markdown
from streams.safe_cells import safe_cell
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
    assert html.escape(EVIL) in (out / "summary.html").read_text(encoding="utf-8")
    assert "<script" not in (out / "summary.md").read_text(encoding="utf-8").replace("\\<script", "")


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


def test_pages_are_one_text_whatever_is_in_them() -> None:
    nasty = "a|b\n# c\u2028<b>&amp; [x](y) `z` \x1b[0m \u202e"
    page = Page(nasty, [Section(nasty, [nasty], [nasty], [Table(("k|", "v"), [(nasty, nasty)], ("v",))])], draft=True)
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


def entry_of(topic: str, event_id: str, at_ms: int, **facts: str) -> bytes:
    """A journal entry of a holding or price."""
    kinds: dict[str, Any] = {"holdings": (HoldingEntry, Holding), "prices": (PriceEntry, Price)}
    kind, event = kinds[topic]
    entry = kind(clock_ms=0, source=f"{topic}/0", start=0, offset=0, event=event(event_id=event_id, occurred_at_ms=at_ms, **facts))
    return msgspec.json.encode(entry)


def test_the_newest_holding_at_or_before_the_loss_counts_and_a_repeat_where_it_came_first() -> None:
    told = [
        ("old", 1_000, "ann", "1"), ("at the loss", 5_000, "ann", "2"), ("corrected", 5_000, "ann", "3"), ("corrected", 5_000, "ann", "3"),
        ("after", 5_001, "ann", "4"), ("late news", 4_000, "ann", "5"), ("zero", 100, "bob", "0"),
    ]  # fmt: skip
    lines = [entry_of("holdings", name, at_ms, account_id=account, asset="BTC", quantity=quantity) for name, at_ms, account, quantity in told]
    lines.append(entry_of("holdings", "other", 10, account_id="ann", asset="ETH", quantity="9"))
    found = _holdings(lambda _: enumerate(lines), {("BTC", 5_000), ("BTC", 4_500)}, {"BTC": Asset(8), "ETH": Asset(18)})
    by_time = {
        at_ms: {account: (held.quantity_minor, held.at_ms, held.evidence.offset) for account, held in of.items()} for (_, at_ms), of in found.items()
    }
    assert by_time == {
        5_000: {"ann": (300_000_000, 5_000, 2), "bob": (0, 100, 6)},
        4_500: {"ann": (500_000_000, 4_000, 5), "bob": (0, 100, 6)},
    }
    assert found["BTC", 5_000]["ann"].evidence.sha256 == sha256(lines[2]).hexdigest()
    assert {asset for asset, _ in found} == {"BTC"}


def test_a_price_that_was_delivered_twice_counts_once() -> None:
    told = [("a", 1, "10"), ("a", 1, "10"), ("b", 2, "20"), ("c", 3, "1000")]
    lines = [entry_of("prices", name, at_ms, asset="BTC", price=price, price_source="x") for name, at_ms, price in told]
    rule = parse_rule("average:1..2")
    assert isinstance(rule, PriceRule)
    average = mean(_recorded_prices(lambda _: enumerate(lines), rule)["BTC"])
    assert average is not None
    assert (average.printed(), average.prices) == ("15", 2)


def robbed(story: Kept, amount: str = "1") -> str:
    """The pool is robbed; returns the incident."""
    story.tell(f"outflows tx_id=t{story.numbers} address=thief amount={amount}")
    for _ in range(8):
        story.tell("progress")
    return next(iter(story.engine.state.marks.by_id.values())).incident_id


def priced(price: str = "1000") -> Kept:
    story = Kept(actors=ALL)
    story.tell(f"prices price={price}")
    story.tell("reserves layer_id=reserve unit=JPY amount=10000000")
    return story


def shares(file: dict[str, Any]) -> list[tuple[str | None, str, str | None]]:
    return [(line["account_id"], line["quantity"], line["held"]) for line in file["statement"]["lines"]]


def test_a_holding_that_the_fold_did_not_take_divides_nothing(tmp_path: Path) -> None:
    story = priced()
    for line in ("account_id=a quantity=1", "account_id=b event_id=h1 quantity=3", "account_id=b event_id=h2 quantity=1"):
        story.tell(f"holdings {line}")
    story.tell("holdings account_id=b event_id=h1 quantity=500")  # an event id told again with other content: of holdings it has no effect
    zombie = {"event_id": "z", "occurred_at_ms": story.now_ms, "account_id": "b", "asset": "BTC", "quantity": "99"}
    again = {"kind": "holding", "source": "holdings/0", "start": 0, "offset": 0, "clock_ms": story.now_ms, "event": zombie}
    story.feed(json.dumps(again, separators=(",", ":")).encode())  # a source position that was read before
    incident_id = robbed(story)
    file = compensate(incident_id, kept(story, tmp_path), tmp_path / "out")
    assert shares(file) == [("a", "0.5", "1"), ("b", "0.5", "1")]
    assert b'"event_id":"h2"' in story.entries[file["statement"]["lines"][1]["holding"]["offset"]]


def test_a_price_that_the_ledger_never_took_is_in_no_average(tmp_path: Path) -> None:
    story = priced("1000")
    story.hold("b", "5")
    for price in ("1010", "100000", "990"):  # the jump is put right by the next
        story.tell(f"prices price={price}")
    incident_id = robbed(story)
    file = compensate(incident_id, kept(story, tmp_path), tmp_path / "out", rule=f"average:0..{story.now_ms}")
    assert [(price["price"], price["prices"]) for price in file["statement"]["prices"]] == [("1000", 3)]


def test_a_price_that_jumped_counts_once_a_person_confirms_it() -> None:
    story, accepted = priced("1000"), Accepted()
    story.engine.witness = accepted.witness
    story.tell("prices price=100000")
    jumped = story.offset - 1
    assert jumped not in accepted
    assert story.engine.state.marks.prices.confirm("BTC")
    say(story, "ana", "note", "w", "withdrawal")
    assert jumped in accepted and story.offset - 1 in accepted


@pytest.mark.parametrize("absurd_ms", [1, 4_000_000_000_000])
def test_an_outflow_with_an_absurd_time_was_lost_when_it_was_read(tmp_path: Path, absurd_ms: int) -> None:
    story = priced()
    story.hold("old", "10")
    story.now_ms += 1_000
    story.numbers += 1
    lost_at_ms = story.now_ms
    facts = {"event_id": "o", "occurred_at_ms": absurd_ms, "wallet_id": "hot", "asset": "BTC", "network": "bitcoin", "amount": "5"}
    story.feed(story.writer.event("outflows", facts | {"address": "thief", "tx_id": "t"}, story.now_ms, time_replaced=True))
    for _ in range(8):
        story.tell("progress")
    story.hold("newcomer", "95")
    file = compensate(next(iter(story.engine.state.incidents.by_id)), kept(story, tmp_path), tmp_path / "out")
    assert shares(file) == [("old", "5", "10")]
    assert file["statement"]["groups"][0]["marks"][0]["lost_at_ms"] == lost_at_ms


def held_and_gone() -> tuple[Kept, str]:
    """One incident: 60 that were held, and 1 that left to the same address; all of it confirmed by two."""
    story = priced()
    story.tell("withdrawals withdrawal_id=h status=requested amount=60000000 balance_before=1 account_id=mule address=thief")
    story.tell("withdrawals withdrawal_id=v status=requested amount=1 account_id=victim address=home")
    story.tell("outflows withdrawal_id=v tx_id=t address=thief amount=1")
    [incident_id] = {mark.incident_id for mark in story.engine.state.marks.by_id.values()}
    for actor in ("ana", "ben"):
        say(story, actor, "confirm", incident_id, "incident")
    return story, incident_id


def test_what_was_held_and_never_left_is_paid_to_nobody_and_keeps_it_a_draft(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    story, incident_id = held_and_gone()
    out, journal = tmp_path / "out", kept(story, tmp_path)
    file = compensate(incident_id, journal, out)
    assert "1 mark(s) of what never left: clear them" in capsys.readouterr().err
    assert shares(file) == [("victim", "1", None)]
    statement = file["statement"]
    [total] = statement["assets"]
    assert (total["customers"], total["never_left"], total["quantity"]) == ("1", "60000000", "1")
    assert int(total["base_amount"]) + int(total["never_left_base_amount"]) == int(total["ledger_base_amount"]) == 60_000_001_000
    assert (statement["suspected"], statement["never_left"]) == (0, 1)
    signed = [word for actor in ("lea", "leo") for word in ("--signed-by", str(sign(out, actor)))]
    assert compensate(incident_id, journal, out, *signed)["status"] == "DRAFT"
    [row] = [row for row in cells(out / "compensation.csv") if row["owner"] == "never left"]
    assert (row["quantity"], row["base amount"], row["account"]) == ("60000000", "0", "")
    for name, words in (
        (
            "summary.md",
            ("## Held, never left", "| BTC | 1 | 60,000,000 | 60,000,000,000 | h |", "1 mark(s) are of what was held and never left: clear"),
        ),
        (
            "incident-report.md",
            (
                "| BTC | customers' | 1 | 1 | 0 | 0 |",
                "| BTC | held, never left | 60,000,000 |",
                "nobody lost it",
                "suspected, version 1, held, never left | 60,000,000 | 0 |",
            ),
        ),
    ):
        page = (out / name).read_text(encoding="utf-8")
        for word in words:
            assert word in page, word
    # Cleared by two, it is a draft no longer.
    for actor in ("ana", "ben"):
        say(story, actor, "clear", "withdrawal:h", "mark")
    journal = kept(story, tmp_path)
    assert compensate(incident_id, journal, out)["statement"]["never_left"] == 0
    signed = [word for actor in ("lea", "leo") for word in ("--signed-by", str(sign(out, actor)))]
    assert compensate(incident_id, journal, out, *signed)["status"] == "SIGNED"
    assert "never left" not in (out / "incident-report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        (("withdrawals withdrawal_id=h status=broadcast tx_id=x account_id=mule address=thief",), True),
        (("withdrawals withdrawal_id=h status=signed tx_id=x account_id=mule address=thief", "outflows tx_id=x address=thief"), True),
        (("withdrawals withdrawal_id=h status=signed tx_id=x account_id=mule address=thief", "outflows tx_id=x address=other"), False),
        (("withdrawals withdrawal_id=h status=signed tx_id=x account_id=mule address=thief",), False),
        (("outflows withdrawal_id=h tx_id=x address=thief internal=1",), False),
        (("outflows withdrawal_id=h tx_id=x address=thief",), True),
    ],
)
def test_a_withdrawal_has_left_once_a_step_or_an_output_says_so(tmp_path: Path, lines: tuple[str, ...], *, left: bool) -> None:
    story, incident_id = held_and_gone()
    for line in lines:
        story.tell(f"{line} amount=60000000")
    for _ in range(8):
        story.tell("progress")
    known = story.engine.state.withdrawals.by_id["h"]
    file = compensate(incident_id, kept(story, tmp_path), tmp_path / "out")
    groups = {mark["mark_id"]: group["way"] for group in file["statement"]["groups"] for mark in group["marks"]}
    assert (groups["withdrawal:h"] != "never_left") == known.left == left


def test_a_step_that_the_fold_did_not_take_says_nothing(tmp_path: Path) -> None:
    story, incident_id = held_and_gone()
    first = next(json.loads(entry) for entry in story.entries if b'"kind":"withdrawal"' in entry)
    sent = {"event": first["event"] | {"event_id": "z", "status": "broadcast", "tx_id": "x"}}
    story.feed(json.dumps(first | sent, separators=(",", ":")).encode())  # a source position that was read before
    file = compensate(incident_id, kept(story, tmp_path), tmp_path / "out")
    told = {mark["mark_id"]: [each["what"] for each in mark["evidence"]] for group in file["statement"]["groups"] for mark in group["marks"]}
    assert file["statement"]["never_left"] == 1
    assert "withdrawal broadcast" not in told["withdrawal:h"]


def test_a_holding_told_after_a_withdrawal_was_asked_for_has_it_in_it(tmp_path: Path) -> None:
    for told_first, shared in ((True, [("a", "1", None), ("b", "1", "1")]), (False, [("a", "1", None), ("a", "0.5", "1"), ("b", "0.5", "1")])):
        story = priced()
        if told_first:
            story.hold("a", "1")
        story.tell("withdrawals withdrawal_id=w status=requested amount=1 account_id=a")
        if not told_first:
            story.hold("a", "1")
        story.hold("b", "1")
        story.tell("outflows withdrawal_id=w tx_id=t1 address=thief amount=1")
        incident_id = robbed(story)
        assert shares(compensate(incident_id, kept(story, tmp_path), tmp_path / "out")) == shared


def test_a_second_payment_that_was_stopped_never_left_though_the_first_did(tmp_path: Path) -> None:
    story = priced()
    for step, tx_id in (("requested", ""), ("approved", ""), ("signed", "x"), ("broadcast", "x"), ("signed", "y")):
        story.tell(f"withdrawals withdrawal_id=w status={step}" + (f" tx_id={tx_id}" if tx_id else ""))
    [mark] = story.engine.state.marks.by_id.values()
    assert mark.mark_id == "withdrawal:w:y"
    arguments = ("compensation", mark.incident_id, "--price-rule", "loss-time", "--out", str(tmp_path / "out"), "--journal")
    assert run((*arguments, str(kept(story, tmp_path)))) == 2
    story.tell("outflows tx_id=y withdrawal_id=w")
    assert run((*arguments, str(kept(story, tmp_path)))) == 0


def test_two_incidents_that_rob_one_pool_pay_its_holders_once(tmp_path: Path) -> None:
    story = priced()
    story.hold("a", "4")
    for number in ("1", "2"):
        story.tell(f"outflows tx_id=t{number} address=x{number} wallet_id=w{number} amount=3")
        for _ in range(8):
            story.tell("progress")
    first, second = dict.fromkeys(mark.incident_id for mark in story.engine.state.marks.by_id.values())
    journal = kept(story, tmp_path)
    assert shares(compensate(first, journal, tmp_path / "first")) == [("a", "3", "4")]
    file = compensate(second, journal, tmp_path / "second")
    assert shares(file) == [("a", "1", "4")]
    assert file["statement"]["counted_first"] == [{"incident_id": first, "asset": "BTC", "quantity": "3"}]
    assert f"Counted first: incident {first} takes 3 BTC" in (tmp_path / "second" / "summary.md").read_text(encoding="utf-8")


def test_one_person_twice_is_one_person() -> None:
    one = SignOff(actor="lea", incident_id="i", statement_sha256="0" * 64, signature="x")
    two = SignOff(actor="leo", incident_id="i", statement_sha256="0" * 64, signature="y")
    assert (status([one, one], 0), status([one, two], 0), status([one, two], 1)) == ("DRAFT", "SIGNED", "DRAFT")


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
