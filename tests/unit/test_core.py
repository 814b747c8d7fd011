"""Terms, prices, quarantine, blindness and refusals of the core, told in short lines."""

import json
from hashlib import sha256

import pytest

from monitor import entries
from monitor.engine import Engine, GapInJournalError, JournalRefusedError
from monitor.policy import Asset, Layer, Limits, Thresholds
from monitor.snapshot_file import decode, encode
from tests.simulation.journals import PARTITIONS, START_MS, Writer, honest, journal, term
from tests.unit.story import USUAL, Story, short


def test_a_mark_without_a_price_is_valued_when_one_comes() -> None:
    story = Story()
    story.tell("reserves layer_id=reserve unit=JPY amount=1000")
    story.tell("withdrawals status=requested balance_before=0")
    (coverage,) = [record for record in story.tell("tick") if record["topic"] == "coverage"]
    assert coverage["at_least"] is True
    assert coverage["assets"][0]["unpriced"] == "1"  # type: ignore[index]
    mark = next(record for record in story.tell("prices price=600.5") if record["topic"] == "marks")
    assert (mark["version"], mark["base_amount"], mark["uncovered_base_amount"]) == (2, "601", "0")


def test_a_stale_price_values_nothing_until_a_new_one_comes() -> None:
    story = Story(price_stale_after_ms=5_000)
    story.tell("prices price=600")
    for _ in range(6):
        story.tell("tick")
    mark = next(record for record in story.tell("withdrawals status=requested balance_before=0") if record["topic"] == "marks")
    assert (mark["base_amount"], mark["price"]) == (None, None)
    mark = next(record for record in story.tell("prices price=700") if record["topic"] == "marks")
    assert (mark["version"], mark["base_amount"], mark["price"]) == (2, "700", "700")


def test_the_first_price_may_page() -> None:
    story = Story()
    story.tell("outflows tx_id=t amount=1000")
    for _ in range(4):
        story.tell("progress")
    published = story.tell("prices price=100000000")
    assert [record["kind"] for record in published if record["topic"] == "alerts"] == ["page"]


def test_a_term_can_not_take_away_what_the_ledger_stands_on() -> None:
    story = Story()
    story.tell("prices price=100")
    story.tell("withdrawals status=requested balance_before=0")
    fewer = {"USDC": Asset(6), "JPY": Asset(2)}
    told = [
        record["detail"] for record in story.feed(term(story.now_ms, "term-2", assets=fewer, base_currency="USDC")) if record.get("what") == "refused"
    ]
    assert told == ["of the policy: asset JPY keeps its 0 decimals", "of the policy: the base currency stays JPY"]
    (coverage,) = [record for record in story.feed(entries.tick("term-2", story.now_ms)) if record["topic"] == "coverage"]
    assert (coverage["base_currency"], coverage["marked_base_amount"]) == ("JPY", "100")


def test_layers_that_a_term_gets_wrong_are_refused_and_the_former_stay() -> None:
    story = Story()
    wrong = (Layer("reserve", "JPY"), Layer("reserve", "JPY"))
    told = [record["detail"] for record in story.feed(term(story.now_ms, "term-2", layers=wrong, version=2)) if record.get("what") == "refused"]
    assert told == ["of the policy: layers.1.layer_id (reserve) is there twice; every layer needs a name of its own."]
    assert [layer.layer_id for layer in story.engine.state.policy.layers] == ["kind", "reserve"]
    assert story.engine.state.policy.version == 2
    assert encode(Engine.thaw(decode(encode(story.engine.freeze()))).freeze()) == encode(story.engine.freeze())


def test_a_new_term_and_a_restored_state_decide_alike() -> None:
    lines = journal(honest(seconds=100, rate=30, seed=8, accounts=400), thresholds=Thresholds(young_address_ms=1_000))
    other = term(START_MS + 50_000, "term-1", thresholds=Thresholds(young_address_ms=86_400_000), limits=Limits(pairs=1024))
    lines.insert(len(lines) // 2, other)
    live = Engine(sha256(lines[0]).hexdigest())
    half = len(lines) // 2 + 1
    live.fold(0, lines[:half])
    restored = Engine.thaw(decode(encode(live.freeze())))
    assert restored.fold(half, lines[half:]) == live.fold(half, lines[half:])
    assert encode(restored.freeze()) == encode(live.freeze())


def test_looking_changes_nothing() -> None:
    story, other = Story(), Story()
    for line in ("prices price=100", "withdrawals status=requested balance_before=0", "tick", "tick", "tick"):
        story.tell(line)
        other.tell(line)
        other.engine.gauges()
    assert encode(story.engine.freeze()) == encode(other.engine.freeze())


def test_the_cut_does_not_show_where_a_step_comes_before_its_request() -> None:
    writer = Writer()
    head = [term(), *writer.opened(START_MS)]
    for number, status in enumerate(("approved", "requested", "cancelled", "requested")):
        facts = {"event_id": f"e{number}", "occurred_at_ms": START_MS, "status": status, **USUAL["withdrawals"], "withdrawal_id": f"w{number // 2}"}
        head.append(writer.event("withdrawals", facts | {"balance_before": "0"}, START_MS))
    whole, single = (Engine(sha256(head[0]).hexdigest()) for _ in range(2))
    assert whole.fold(0, head) == [record for at, entry in enumerate(head) for record in single.fold(at, [entry])]


def test_layers_are_drawn_on_in_order_and_the_rest_is_uncovered() -> None:
    story = Story()
    for line in ("prices price=1000", "reserves layer_id=kind unit=BTC amount=0.5", "reserves layer_id=reserve unit=JPY amount=300"):
        story.tell(line)
    published = story.tell("withdrawals status=requested balance_before=0")
    mark = next(record for record in published if record["topic"] == "marks")
    parts = [(part["layer_id"], part["amount"], part["base_amount"]) for part in mark["allocations"]]  # type: ignore[attr-defined]
    assert parts == [("kind", "0.5", "500"), ("reserve", "300", "300"), ("uncovered", "200", "200")]
    assert (mark["base_amount"], mark["uncovered_base_amount"]) == ("1000", "200")
    coverage = [record for record in published if record["topic"] == "coverage"][-1]
    assert (coverage["exhausted"], coverage["available_base_amount"]) == (True, "0")
    cleared = [record for record in story.tell("withdrawals status=cancelled") if record["topic"] == "coverage"][-1]
    assert (cleared["exhausted"], cleared["available_base_amount"], cleared["marked_base_amount"]) == (False, "800", "0")


def test_what_becomes_available_carries_what_stands_uncovered_within_the_same_entry() -> None:
    story = Story()
    story.tell("prices price=1000")
    story.tell("withdrawals status=requested balance_before=0")
    story.tell("withdrawals status=requested withdrawal_id=other balance_before=0")
    published = story.tell("reserves layer_id=reserve unit=JPY amount=1500")
    marks = [record for record in published if record["topic"] == "marks"]
    assert [(mark["mark_id"], mark["version"], mark["uncovered_base_amount"]) for mark in marks] == [
        ("withdrawal:w", 2, "0"),
        ("withdrawal:other", 2, "500"),
    ]
    coverage = [record for record in published if record["topic"] == "coverage"][-1]
    assert (coverage["topic"], coverage["uncovered_base_amount"], coverage["exhausted"]) == ("coverage", "500", True)
    published = story.tell("withdrawals status=cancelled")
    states = [(record["mark_id"], record["state"], record["uncovered_base_amount"]) for record in published if record["topic"] == "marks"]
    assert states == [("withdrawal:w", "cleared", "0"), ("withdrawal:other", "suspected", "0")]


def test_a_silent_source_is_blind_and_absence_waits() -> None:
    story = Story()
    story.tell("outflows tx_id=t")
    published = [record for _ in range(12) for record in story.tell("tick")]
    blind = [record["source"] for record in published if record["topic"] == "audit" and record["what"] == "blind"]
    assert sorted(map(str, blind)) == sorted(f"{topic}/0" for topic in PARTITIONS)  # each once
    assert not [record for record in published if record["topic"] == "marks"]
    story.tell("progress")
    sighted = [record for record in story.tell("tick") if record["topic"] == "audit"]
    assert {record["what"] for record in sighted} == {"sighted"}
    assert len(sighted) == len(PARTITIONS)


def test_ticks_of_an_older_term_and_from_the_future_are_not_time() -> None:
    story = Story()
    story.feed(term(START_MS, "term-2"))
    before = story.engine.gauges()
    assert story.feed(entries.tick("term-1", START_MS + 5_000)) == []
    (refused,) = story.feed(entries.tick("term-2", START_MS + 10**9))
    assert refused["what"] == "tick-refused"
    after = story.engine.gauges()
    assert (after.ticks_ignored, after.ticks_refused, after.time_ms) == (before.ticks_ignored + 1, before.ticks_refused + 1, before.time_ms)


@pytest.mark.parametrize(
    ("scope", "expected"), [("detectors", "audit quarantined; verdict UNSCORED detectors_failed"), ("entry", "audit quarantined")]
)
def test_a_quarantined_entry_is_unscored_or_left_out_and_its_source_goes_on(scope: str, expected: str) -> None:
    story = Story()
    story.engine.quarantines = {story.offset: scope}  # type: ignore[dict-item]
    assert "; ".join(word for word in map(short, story.tell("withdrawals status=requested")) if word) == expected
    assert "; ".join(map(short, story.tell("withdrawals status=requested withdrawal_id=w2"))) == "verdict CLEAR"


def test_a_withdrawal_that_is_repaired_goes_on_with_its_versions() -> None:
    story = Story()
    rejected = {"reason": "bad_json", "detail": "cut", "withdrawal_id": "w", "account_id": "a"}
    head = {"kind": "rejected", "source": "withdrawals/0", "start": 0, "offset": 0, "clock_ms": START_MS}
    story.writer.next["withdrawals"] = 1
    first = [record for record in story.feed(json.dumps({**head, **rejected}).encode()) if record["topic"] == "verdicts"]
    second = story.tell("withdrawals status=requested")
    third = [record for record in story.feed(json.dumps({**head, "start": 2, "offset": 2, **rejected}).encode()) if record["topic"] == "verdicts"]
    told = [(record["verdict"], record["version"]) for record in (*first, *second, *third)]
    assert told == [("UNSCORED", 1), ("CLEAR", 2), ("UNSCORED", 3)]


def test_observe_and_enforce_per_rule() -> None:
    story = Story(mode="observe", rule_modes={"more_than_held": "enforce"})
    assert story.tell("withdrawals status=requested")[0]["mode"] == "observe"
    verdicts = [record for record in story.tell("withdrawals status=requested withdrawal_id=w2 balance_before=0") if record["topic"] == "verdicts"]
    assert [record["mode"] for record in verdicts] == ["enforce"]


def test_a_rule_that_is_off_finds_nothing() -> None:
    story = Story(rules_off=("redirect",))
    story.tell("withdrawals status=requested")
    assert story.tell("withdrawals status=signed address=thief") == []


def test_a_gap_in_the_journal_or_a_journal_without_a_term_is_refused() -> None:
    story = Story()
    with pytest.raises(GapInJournalError):
        story.engine.fold(story.offset + 1, [b"{}"])
    with pytest.raises(JournalRefusedError, match="begin with a term"):
        Engine("0" * 64).fold(0, [entries.tick("term-1", START_MS)])


def test_bytes_that_are_no_entry_are_said_and_change_nothing() -> None:
    story = Story()
    for nonsense in (b"", b"null", b"{", b'{"kind":"unheard-of"}', b"\xff", b"[" * 100_000):
        assert [short(record) for record in story.feed(nonsense)] == ["audit refused"]
    assert short(story.tell("withdrawals status=requested")[0]) == "verdict CLEAR"
