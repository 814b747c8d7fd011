"""A batch that credits more than all wallets hold is wrong as a whole: its credits before are marked with the one that shows it."""

from typing import Any

import pytest

from monitor import held
from monitor.engine import Engine
from monitor.held import Credit, Held
from monitor.snapshot_file import decode, encode
from tests.unit.story import Story


def holding(*lines: str, **changes: Any) -> Story:
    """A story in which 10 BTC are held, at 1,000 JPY."""
    story = Story(**changes)
    for line in ("prices price=1000", "balances amount=10", "progress", *lines):
        story.tell(line)
    return story


def credit(name: str, amount: str, batch: str = "b", asset: str = "BTC") -> str:
    return f"postings posting_id={name} account_id=of-{name} amount={amount} batch_id={batch} asset={asset}"


def marked(published: list[dict[str, object]]) -> list[tuple[object, object, object]]:
    return [(record["mark_id"], record["account_id"], record["amount"]) for record in published if record["topic"] == "marks"]


def test_the_credits_before_are_marked_and_one_page_tells_of_all() -> None:
    story = holding(credit("p1", "4"), credit("other", "9", "c"), credit("p2", "6"))
    published = story.tell(credit("p3", "0.5"))
    assert marked(published) == [("posting:p1", "of-p1", "4"), ("posting:p2", "of-p2", "6"), ("posting:p3", "of-p3", "0.5")]
    [page] = [record for record in published if record["topic"] == "alerts" and record["why"] != "level_crossed"]
    assert str(page["summary"]).startswith(
        "batch b credits more BTC than all wallets hold; 0.5 of it to account of-p3, and 10 before in 2 credit(s). 10.5 BTC, 10,500 JPY"
    )
    [incident] = story.engine.state.incidents.by_id.values()
    assert (incident.findings, incident.marks, sorted(incident.accounts)) == (1, 3, ["of-p1", "of-p2", "of-p3"])
    assert marked(story.tell(credit("p4", "1"))) == [("posting:p4", "of-p4", "1")]  # each is marked as it comes from here on


def test_a_mark_that_stands_already_isnt_made_again() -> None:
    story = holding(credit("p1", "4"), credit("p1", "4"))
    assert marked(story.tell(credit("p2", "7"))) == [("posting:p1", "of-p1", "4"), ("posting:p2", "of-p2", "7")]


def test_another_asset_of_the_batch_isnt_meant() -> None:
    story = holding(credit("e", "4", asset="ETH"), credit("p1", "4"))
    assert [mark[0] for mark in marked(story.tell(credit("p2", "7")))] == ["posting:p1", "posting:p2"]


def test_a_rule_that_is_off_marks_nothing() -> None:
    story = holding(credit("p1", "4"), rules_off=("more_than_held",))
    assert marked(story.tell(credit("p2", "7"))) == []


def test_what_is_kept_survives_a_restart() -> None:
    story = holding(credit("p1", "4"), credit("x", "1", "c"), credit("p2", "5"))
    story.engine = Engine.thaw(decode(encode(story.engine.freeze())))
    assert story.engine.gauges().tables["batch_credit"].used == 3
    assert [mark[0] for mark in marked(story.tell(credit("p3", "2")))] == ["posting:p1", "posting:p2", "posting:p3"]
    assert story.engine.gauges().tables["batch_credit"].used == 1


def kept(of: Held) -> dict[str, list[str]]:
    return {key: [each.posting_id for each in its] for key, its in of.credits.items()}


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "CREDITS_MAX", 3)
    of = Held()
    for number, batch in enumerate("aabbb"):
        of.keep("BTC", Credit(f"p{number}", "x", "customer", 1), batch)
    assert (kept(of), of.credits_kept, of.credits_dropped) == ({"b BTC": ["p2", "p3", "p4"]}, 3, 2)
    of.keep("BTC", Credit("p5", "x", "customer", 1), "b")  # the first of the newest batch are worth more than its last
    assert (kept(of), of.credits_dropped) == ({"b BTC": ["p2", "p3", "p4"]}, 3)
    assert [each.posting_id for each in of.taken("BTC", "b")] == ["p2", "p3", "p4"]
    assert (of.taken("BTC", "b"), of.taken("BTC", None), of.credits_kept) == ([], [], 0)


def test_a_batch_that_is_forgotten_takes_its_credits_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "BATCHES_MAX", 1)
    of = Held()
    of.credit("BTC", 1, "a")
    of.keep("BTC", Credit("p1", "x", "customer", 1), "a")
    of.credit("BTC", 1, "b")
    assert (of.credits, of.credits_kept, of.credits_dropped) == ({}, 0, 1)
