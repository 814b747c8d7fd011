"""What the core makes of short stories: a line is something that happens, the last column what is published because of it."""

import json
from hashlib import sha256
from typing import Any

import pytest

from monitor import entries
from monitor.engine import Engine, GapInJournalError, JournalRefusedError
from monitor.policy import Layer
from tests.simulation.journals import PARTITIONS, START_MS, Writer, term

HOLDS = "verdict HOLD"


class Story:
    """A fold that is fed one line at a time."""

    def __init__(self, **changes: Any) -> None:
        self.writer = Writer()
        self.now_ms = START_MS
        self.offset = 0
        self.numbers = 0
        first = term(layers=(Layer("kind", "BTC"), Layer("reserve", "JPY")), **changes)
        self.engine = Engine(sha256(first).hexdigest())
        self.feed(first)
        for entry in self.writer.opened(START_MS):
            self.feed(entry)

    def feed(self, entry: bytes) -> list[dict[str, object]]:
        """Records that an entry causes, each with its topic."""
        records = self.engine.fold(self.offset, [entry])
        self.offset += 1
        return [{"topic": record.topic, **json.loads(record.value)} for record in records]

    def tell(self, line: str) -> list[dict[str, object]]:
        """`topic field=value ...`, with the usual fields filled in; `progress` and `tick` are themselves."""
        topic, *words = line.split()
        self.now_ms += 1_000
        if topic == "tick":
            return self.feed(entries.tick("term-1", self.now_ms))
        if topic == "progress":
            return [record for entry in self.writer.progress(self.now_ms) for record in self.feed(entry)]
        self.numbers += 1
        facts: dict[str, object] = {"event_id": f"e{self.numbers}", "occurred_at_ms": self.now_ms}
        facts |= USUAL.get(topic, {})
        for name, text in (word.split("=", 1) for word in words):
            facts[name] = {"occurred_at_ms": int, "seen_version": int, "internal": bool}.get(name, str)(text)
        return self.feed(self.writer.event(topic, facts, self.now_ms))


USUAL: dict[str, dict[str, object]] = {
    "withdrawals": {
        "withdrawal_id": "w",
        "account_id": "a",
        "asset": "BTC",
        "network": "bitcoin",
        "amount": "1",
        "address": "home",
        "wallet_id": "hot",
    },
    "outflows": {"wallet_id": "hot", "asset": "BTC", "network": "bitcoin", "amount": "1", "address": "home"},
    "balances": {"wallet_id": "hot", "asset": "BTC", "temperature": "hot"},
    "prices": {"asset": "BTC", "price_source": "test"},
    "postings": {"posting_id": "p", "account_id": "a", "kind": "credit", "asset": "BTC"},
    "reserves": {"action": "fund"},
}


def short(record: dict[str, object]) -> str:
    """A record in a few words; coverage, heartbeats and dates left out."""
    if record["topic"] == "verdicts" and "verdict" in record:
        reasons = ",".join(reason["rule"] for reason in record["reasons"])  # type: ignore[attr-defined]
        return f"verdict {record['verdict']}{' late' if record['too_late'] else ''}{f' {reasons}' if reasons else ''}"
    if record["topic"] == "marks":
        return f"mark {record['state']} {record['amount']} {record['asset']}"
    if record["topic"] == "alerts":
        return f"{record['kind']}"
    if record["topic"] == "audit":
        return f"audit {record['what']}"
    return ""


STORIES = {
    "an honest life": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=approved                   |
        withdrawals status=broadcast tx_id=t          |
        outflows tx_id=t withdrawal_id=w              |
        withdrawals status=confirmed tx_id=t          |""",
    "another address is paid": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t address=thief | mark suspected 1 BTC; page; verdict HOLD late redirect
        withdrawals status=confirmed tx_id=t address=thief |""",
    "the change shows before the broadcast, and the withdrawal is stopped": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=signed address=thief       | mark suspected 1 BTC; page; verdict HOLD redirect
        withdrawals status=cancelled                  | mark released 1 BTC""",
    "it was to be held and left all the same": """
        withdrawals status=requested balance_before=0.5 | mark suspected 1 BTC; page; verdict HOLD more_than_held
        withdrawals status=broadcast tx_id=t          | verdict HOLD late more_than_held""",
    "more is paid than was asked for": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t amount=1.00000001 | mark suspected 1.00000001 BTC; page; verdict HOLD late amount_changed""",
    "less is paid, the fee taken off: nothing is wrong": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t amount=0.999 |""",
    "two transactions pay one withdrawal": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t1         |
        withdrawals status=broadcast tx_id=t2         | mark suspected 1 BTC; page; verdict HOLD late double_payout""",
    "the second payout shows on chain only": """
        withdrawals status=requested                  | verdict CLEAR
        outflows tx_id=t1 withdrawal_id=w             |
        outflows tx_id=t2 withdrawal_id=w             | mark suspected 1 BTC; page; verdict HOLD late double_payout""",
    "a failed transaction is sent again: no double payout": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t1         |
        withdrawals status=failed                     |
        withdrawals status=broadcast tx_id=t2         |""",
    "an outflow comes before its request": """
        outflows tx_id=t withdrawal_id=w              |
        withdrawals status=requested                  | verdict CLEAR
        progress                                      |""",
    "an outflow without a claim is explained by its transaction": """
        withdrawals status=requested                  | verdict CLEAR
        outflows tx_id=t                              |
        withdrawals status=broadcast tx_id=t          |
        progress                                      |""",
    "an outflow that nobody asked for: proven by progress, not by Ticks": """
        outflows tx_id=t                              |
        tick                                          |
        tick                                          |
        tick                                          |
        tick                                          |
        progress                                      | mark suspected 1 BTC; page""",
    "the exchange moves its own": """
        outflows tx_id=t internal=yes                 |
        progress                                      |""",
    "more than all wallets hold": """
        balances amount=10                            |
        withdrawals status=requested amount=11        | mark suspected 11 BTC; page; verdict HOLD more_than_held""",
    "a batch credits more than is held": """
        balances amount=10                            |
        postings amount=6 batch_id=b posting_id=p1    |
        postings amount=6 batch_id=b posting_id=p2    | mark suspected 6 BTC; page""",
    "a step of a withdrawal that nobody has seen asked for": """
        withdrawals status=approved                   | verdict UNSCORED never_requested""",
    "a withdrawal is paid that nobody has seen asked for; its outflow is the same loss": """
        withdrawals status=broadcast tx_id=t          | mark suspected 1 BTC; notice; verdict UNSCORED never_requested
        outflows tx_id=t                              |
        progress                                      |""",
    "it was cancelled and is paid all the same": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=cancelled                  |
        withdrawals status=approved                   |
        withdrawals status=broadcast tx_id=t          | mark suspected 1 BTC; page; verdict HOLD late paid_after_cancellation
        outflows tx_id=t                              |""",
    "it was cancelled and leaves all the same, as the chain shows": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=cancelled                  |
        outflows tx_id=t withdrawal_id=w              | mark suspected 1 BTC; page; verdict HOLD late paid_after_cancellation""",
    "the same event twice, then with other content": """
        withdrawals status=requested event_id=x       | verdict CLEAR
        withdrawals status=requested event_id=x occurred_at_ms=SAME |
        withdrawals status=requested event_id=x amount=2 | audit repeat-conflict; notice; mark suspected 2 BTC; page; verdict HOLD amount_changed""",
    "a decision that nobody's key has signed": """
        feedback subject_id=i command=clear actor=me reason=because seen_version=1 | audit refused""",
    "a layer that the policy doesn't know": """
        reserves layer_id=other unit=JPY amount=5     | audit refused""",
}


@pytest.mark.parametrize("name", STORIES)
def test_story(name: str) -> None:
    story = Story()
    first_ms = START_MS + 1_000
    for line in STORIES[name].strip().splitlines():
        happens, expected = (part.strip() for part in line.rsplit("|", 1))
        published = story.tell(happens.replace("SAME", str(first_ms)))
        assert "; ".join(word for word in map(short, published) if word) == expected, line


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


def test_layers_are_drawn_on_in_order_and_the_rest_is_uncovered() -> None:
    story = Story()
    for line in ("prices price=1000", "reserves layer_id=kind unit=BTC amount=0.5", "reserves layer_id=reserve unit=JPY amount=300"):
        story.tell(line)
    published = story.tell("withdrawals status=requested balance_before=0")
    mark = next(record for record in published if record["topic"] == "marks")
    parts = [(part["layer_id"], part["amount"], part["base_amount"]) for part in mark["allocations"]]  # type: ignore[attr-defined]
    assert parts == [("kind", "0.5", "500"), ("reserve", "300", "300")]
    assert (mark["base_amount"], mark["uncovered_base_amount"]) == ("1000", "200")
    coverage = [record for record in published if record["topic"] == "coverage"][-1]
    assert (coverage["exhausted"], coverage["available_base_amount"]) == (True, "0")
    released = [record for record in story.tell("withdrawals status=cancelled") if record["topic"] == "coverage"][-1]
    assert (released["exhausted"], released["available_base_amount"], released["marked_base_amount"]) == (False, "800", "0")


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
