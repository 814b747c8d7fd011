"""What counts for a compensation file: only what the fold took, only what left, and of each holding only what isn't lost already."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.contracts.holdings import Holding
from monitor.contracts.journal import HoldingEntry, PriceEntry
from monitor.contracts.prices import Price
from monitor.policy import Asset
from monitor.price_rules import PriceRule, mean, parse_rule
from streams.cli.app import run
from streams.compensation import _holdings, _recorded_prices
from tests.unit.test_compensation_files import Kept, cells, compensate, kept, sign
from tests.unit.test_decided import ALL, say


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
    assert "1 mark(s) are of what was held and never left: clear them" in " ".join(capsys.readouterr().err.split())
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
    for name in ("summary.md", "summary.html", "incident-report.md", "incident-report.html"):
        above = (out / name).read_text(encoding="utf-8").partition("<h2>")[0].partition("\n## ")[0]
        assert "DRAFT: 1 mark(s) are of what was held and never left: clear them" in above, name
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
